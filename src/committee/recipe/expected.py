"""What a value was expected to be, in words, from an error of pydantic."""

from __future__ import annotations

import re
from typing import Any

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "missing": "a value",
    "greater_than": "a number greater than {gt:g}",
    "greater_than_equal": "a number not less than {ge:g}",
    "less_than": "a number less than {lt:g}",
    "less_than_equal": "a number not greater than {le:g}",
    "too_short": "a list of at least {min_length}",
    "string_too_short": "text",
    "refused": "{expected}",
}


def expected_of(details: Any) -> str:
    """Return what was expected, from one of the errors of a ValidationError.

    Examples
    --------
    >>> expected_of({"type": "greater_than", "ctx": {"gt": 0.0}})
    'a number greater than 0'
    """
    kind, context = details["type"], details.get("ctx", {})
    if kind == "literal_error":
        choices = choices_of(details)
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if kind not in _EXPECTED:
        return str(details["msg"])
    return _EXPECTED[kind].format(**context)


def choices_of(details: Any) -> list[str]:
    """Return the valid values that an error of the type `literal_error` lists."""
    return re.findall(r"[^\s',]+", details["ctx"]["expected"].replace(" or ", " "))

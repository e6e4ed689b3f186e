"""The type of durations in a recipe."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from committee.base.deadline import EXAMPLES, seconds_of
from committee.recipe.section import refuse


def _as_text(value: Any) -> Any:
    """Return a number, which is in seconds, as text."""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else value


def _check(value: str) -> str:
    try:
        seconds_of(value)
    except ValueError:
        raise refuse(f"a duration above zero, {EXAMPLES}") from None
    return value


Duration = Annotated[
    str, BeforeValidator(_as_text, json_schema_input_type=str | int | float), AfterValidator(_check)
]
"""Text such as `8h` or `1h30m`; a number is in seconds. See `seconds_of`."""

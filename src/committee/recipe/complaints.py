"""From pydantic's complaints to one sentence: who, expected, got, what to do next, and where."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from inspect import isclass
from typing import Any, get_args

from pydantic import ValidationError

from committee.errors import RecipeError, nearest
from committee.recipe.nodes import Node, say, spell
from committee.recipe.section import Section

LISTED = 8
"""Most keys of a section that a sentence lists."""

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
    "too_short": "at least {min_length} of them",
    "string_too_short": "text",
    "refused": "{expected}",
}


def complain(error: ValidationError, root: Node, model: type[Section]) -> RecipeError:
    """Return the first complaint about `root`, which is no valid `model`."""
    found = [(*_place(root, details["loc"], details["type"]), details) for details in error.errors()]
    # A union complains once for each of its types: what one of them says about its inside tells most.
    paths = [path for path, _, _ in found]
    inner = [each for each in found if not any(_inside(path, each[0]) for path in paths)]
    path, node, details = inner[0]
    if details["type"] == "extra_forbidden":
        return _unknown_key(path, root, model)
    same = [each for where, _, each in inner if where == path]
    path, node = _narrow(path, node, details)
    missing = details["type"] == "missing"
    return RecipeError(
        spell(path),
        expected=" or ".join(dict.fromkeys(_expected(each) for each in same)),
        got="nothing" if missing else say(node.plain()),
        todo=_todo(details, node),
        where=node.where,
    )


def _place(root: Node, loc: Sequence[str | int], kind: str) -> tuple[list[str | int], Node]:
    """Return where a complaint belongs: its path without the words that pydantic puts in for types."""
    node, path = root, list[str | int]()
    for part in loc:
        child = node.child(part)
        if child is not None:
            node, path = child, [*path, part]
    return ([*path, loc[-1]] if kind == "missing" else path), node


def _narrow(path: Sequence[str | int], node: Node, details: Any) -> tuple[list[str | int], Node]:
    """Return the key that a section as a whole was refused for."""
    key = details.get("ctx", {}).get("key")
    return ([*path, key], node.child(key) or node) if key else (list(path), node)


def _inside(path: Sequence[str | int], outer: Sequence[str | int]) -> bool:
    return len(path) > len(outer) and path[: len(outer)] == outer


def _expected(details: Any) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "literal_error":
        choices = _choices(details)
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    return _EXPECTED.get(kind, details["msg"]).format(**context)


def _choices(details: Any) -> list[str]:
    return re.findall(r"[^\s',]+", details["ctx"]["expected"].replace(" or ", " "))


def _todo(details: Any, node: Node) -> str:
    if details["type"] == "literal_error" and isinstance(node.value, str):
        return nearest(node.value, _choices(details))
    return str(details.get("ctx", {}).get("todo", ""))


def _unknown_key(path: Sequence[str | int], root: Node, model: type[Section]) -> RecipeError:
    *outer, key = path
    parent = root.get(outer)
    assert parent is not None
    known = _keys(_section(model, outer))
    return RecipeError(
        spell(outer),
        expected=f"a key among {_closest(str(key), known)}",
        got=f"'{key}'",
        todo=nearest(str(key), known),
        where=parent.keys[str(key)],
    )


def _closest(key: str, known: Sequence[str]) -> str:
    """Return the keys of a section; of many, those like `key` and the first, and how many more there are."""
    close = [*difflib.get_close_matches(key, known, n=LISTED), *known]
    close = list(dict.fromkeys(close))[:LISTED]
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    return ", ".join(name for name in known if name in close) + more


def _keys(section: type[Section]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def _section(model: type[Section], path: Sequence[str | int]) -> type[Section]:
    """Return the section that a path leads to; list indices and free keys stay where they are."""
    for part in path:
        field = model.model_fields.get(str(part))
        model = next(_sections(field.annotation), model) if field else model
    return model


def _sections(annotation: Any) -> Iterator[type[Section]]:
    if isclass(annotation) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)

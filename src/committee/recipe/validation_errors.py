"""Translation of pydantic's validation errors to a RecipeError that names the key and its place."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from inspect import isclass
from typing import Any, get_args

from pydantic import ValidationError

from committee.errors import RecipeError, nearest
from committee.recipe.document import Document, Path, describe, format_path
from committee.recipe.expected import choices_of, expected_of
from committee.recipe.overrides import SHORT
from committee.recipe.section import Section

LISTED = 8
"""Largest number of keys of a section that a message lists."""


def recipe_error(error: ValidationError, document: Document, model: type[Section]) -> RecipeError:
    """Return the first error of `document`, which is not a valid `model`."""
    found = [(_path(document, details["loc"], details["type"]), details) for details in error.errors()]
    # A union reports one error for each of its types; the error deepest inside one of them is most specific.
    paths = [path for path, _ in found]
    inner = [each for each in found if not any(_is_inside(path, each[0]) for path in paths)]
    path, details = inner[0]
    if details["type"] == "extra_forbidden":
        return _unknown_key(path, document, model)
    expected = " or ".join(dict.fromkeys(expected_of(each) for where, each in inner if where == path))
    key = details.get("ctx", {}).get("key")
    if key and not isinstance(document.get(path), str):  # a section that is written as a text has no keys
        path += (key,)
    value = document.get(path)
    return RecipeError(
        format_path(path),
        expected=expected,
        got=describe(value),
        todo=_todo(details, value),
        where=document.where(path),
    )


def _path(document: Document, loc: Path, kind: str) -> Path:
    """Return the path in a location of pydantic, which also contains names of types."""
    path: Path = ()
    for part in loc:
        if document.has((*path, part)):
            path = (*path, part)
    return (*path, loc[-1]) if kind == "missing" else path


def _is_inside(path: Path, outer: Path) -> bool:
    return len(path) > len(outer) and path[: len(outer)] == outer


def _todo(details: Any, value: object) -> str:
    if details["type"] == "literal_error" and isinstance(value, str):
        return nearest(value, choices_of(details))
    return str(details.get("ctx", {}).get("todo", ""))


def _unknown_key(path: Path, document: Document, model: type[Section]) -> RecipeError:
    outer, key = path[:-1], str(path[-1])
    section = _section(model, outer)
    known = [field.alias or name for name, field in section.model_fields.items()]
    known += [] if outer else SHORT
    return RecipeError(
        format_path(outer),
        expected=f"a key among {_most_similar(key, known)}",
        got=f"'{key}'",
        todo=nearest(key, known),
        where=document.where_key(path),
    )


def _most_similar(key: str, known: Sequence[str]) -> str:
    """Return the keys of a section; of many keys, those similar to `key`, the first ones and a count."""
    close = [*difflib.get_close_matches(key, known, n=LISTED), *known]
    close = list(dict.fromkeys(close))[:LISTED]
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    return ", ".join(name for name in known if name in close) + more


def _section(model: type[Section], path: Path) -> type[Section]:
    """Return the class of the section at `path`; list indices and names of mappings do not change it."""
    for part in path:
        field = model.model_fields.get(str(part))
        model = next(_sections(field.annotation), model) if field else model
    return model


def _sections(annotation: Any) -> Iterator[type[Section]]:
    if isclass(annotation) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)

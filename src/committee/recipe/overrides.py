"""`--set KEY=VALUE`, and the short form, in which some keys of sections stand at the top level."""

from __future__ import annotations

import re

from committee.errors import RecipeError, UsageError
from committee.recipe.document import Document, Path, describe
from committee.recipe.yaml_text import parse

SHORT = {
    "img_size": "dataset",
    "n_classes": "dataset",
    "batch_size": "dataset",
    "folds": "training",
    "epochs": "training",
}
"""Keys of the short form, and the section that each belongs to."""
SET = "--set"
"""Start of the place of a value from the command line."""

_PART = re.compile(r'\.?(?:"([^"]+)"|\[(\d{1,6})\]|([^.\[\]"]+))')


def expand_short_form(document: Document) -> None:
    """Move the keys of the short form into their sections.

    Raises
    ------
    RecipeError
        A key has different values at the top level and in its section.
    """
    for key, section in SHORT.items():
        short, full = (key,), (section, key)
        if not document.has(short):
            continue
        if document.has(full) and document.get(full) != document.get(short):
            raise RecipeError(
                key,
                expected=f"{describe(document.get(full))} as in {section}.{key} ({document.where(full)})",
                got=describe(document.get(short)),
                todo="Give it once.",
                where=document.where(short),
            )
        document.move(short, full)


def override(document: Document, assignment: str) -> None:
    """Replace one value.

    Parameters
    ----------
    document : Document
        The recipe, without keys of the short form.
    assignment : str
        `dataset.path=photos`, `models[0].lr=1e-3`, `overrides."hf-hub:a/b.c".epochs=5`; the value is YAML.

    Raises
    ------
    UsageError
        There is no `=`, or no valid key before it.
    RecipeError
        The value is not valid YAML, or the key does not lead to a value of the recipe.
    """
    name, equals, text = assignment.partition("=")
    path = _path(name.strip())
    if not equals or not path:
        raise UsageError("--set", expected="KEY=VALUE, such as training.epochs=5", got=f"'{assignment}'")
    if path[0] in SHORT:
        path = (SHORT[str(path[0])], *path)
    where = f"{SET} {assignment}"
    value = parse(text, where, lines=False).value if text.strip() else None
    document.set(path, value, where)


def _path(name: str) -> Path:
    """Return the parts of a key: names separated by dots or quoted, and indices in brackets."""
    path: list[str | int] = []
    position = 0
    while match := _PART.match(name, position):
        quoted, index, bare = match.groups()
        path.append(int(index) if index else quoted or bare)
        position = match.end()
    return tuple(path) if position == len(name) else ()

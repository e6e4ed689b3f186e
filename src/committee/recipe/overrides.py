"""`--set KEY=VALUE`, and the short form: keys that may stand at the top for those of a section."""

from __future__ import annotations

import re

from committee.errors import RecipeError, UsageError
from committee.recipe.nodes import Node, say
from committee.recipe.yaml_text import parse

SHORT = {
    "img_size": "dataset",
    "n_classes": "dataset",
    "batch_size": "dataset",
    "folds": "training",
    "epochs": "training",
}
SET = "--set"
"""Where a value of the command line stands: its node's `where` begins with this."""

_PART = re.compile(r'\.?(?:"([^"]+)"|\[(\d{1,6})\]|([^.\[\]"]+))')


def spread(root: Node) -> Node:
    """Return the recipe with its short keys in their sections.

    Raises
    ------
    RecipeError
        A value is given twice and differently.
    """
    for key, section in SHORT.items():
        short, full = root.get([key]), root.get([section, key])
        if short is None:
            continue
        if full is not None and full.plain() != short.plain():
            raise RecipeError(
                key,
                expected=f"{say(full.plain())} as in {section}.{key} ({full.where})",
                got=say(short.plain()),
                todo="Give it once.",
                where=short.where,
            )
        root = root.without(key).with_value([section, key], short)
    return root


def override(root: Node, assignment: str) -> Node:
    """Return the recipe with one value replaced.

    Parameters
    ----------
    root : Node
        The recipe, its short keys in their sections.
    assignment : str
        `dataset.path=photos`, `models[0].lr=1e-3`, `overrides."hf-hub:a/b.c".epochs=5`; the value is YAML.

    Raises
    ------
    UsageError
        There is no `=`, or no key before it.
    RecipeError
        The value is no YAML, or the key leads nowhere.
    """
    name, equals, text = assignment.partition("=")
    path = _path(name.strip())
    if not equals or not path:
        raise UsageError("--set", expected="KEY=VALUE, such as training.epochs=5", got=f"'{assignment}'")
    if path[0] in SHORT:
        path = [SHORT[str(path[0])], *path]
    where = f"{SET} {assignment}"
    return root.with_value(path, parse(text, where, lines=False) if text.strip() else Node(None, where))


def _path(name: str) -> list[str | int]:
    """Return the parts of a key: names by dots, in quotes where they hold dots, and indices in brackets."""
    path: list[str | int] = []
    position = 0
    while match := _PART.match(name, position):
        quoted, index, bare = match.groups()
        path.append(int(index) if index else quoted or bare)
        position = match.end()
    return path if position == len(name) else []

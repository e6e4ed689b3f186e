"""A recipe as plain values, with the position of every value and key in its file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from committee.errors import RecipeError

Scalar: TypeAlias = str | int | float | bool | None
Path: TypeAlias = tuple[str | int, ...]

_ABSENT = object()


@dataclass
class Document:
    """The values of a YAML document, and where each was written.

    Parameters
    ----------
    value : scalar, dict or list
        Plain values; keys of dicts are text.
    places : dict
        Path of a value -> `file:line:column`, or the `--set` argument that replaced it. A value without an
        entry is at the place of the nearest value around it.
    keys : dict
        Path of a value -> place of its key.

    See Also
    --------
    committee.recipe.yaml_text.parse : Read a document.

    Examples
    --------
    >>> from committee.recipe.yaml_text import parse
    >>> document = parse("training: {lr: 0.1}", "recipe.yaml")
    >>> document.get(("training", "lr")), document.where(("training", "lr"))
    (0.1, 'recipe.yaml:1:16')
    """

    value: Any
    places: dict[Path, str] = field(default_factory=dict)
    keys: dict[Path, str] = field(default_factory=dict)

    def has(self, path: Path) -> bool:
        """Return whether there is a value at `path`; it may be null."""
        return self._find(path) is not _ABSENT

    def get(self, path: Path) -> Any:
        """Return the value at `path`, or None."""
        found = self._find(path)
        return None if found is _ABSENT else found

    def _find(self, path: Path) -> Any:
        value = self.value
        for part in path:
            if isinstance(value, dict):
                value = value.get(part, _ABSENT)
            elif isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value):
                value = value[part]
            else:
                return _ABSENT
        return value

    def where(self, path: Path) -> str:
        """Return the place of the value at `path`, or of the nearest value around it."""
        outwards = (path[:length] for length in range(len(path), -1, -1))
        return next((self.places[each] for each in outwards if each in self.places), "")

    def where_key(self, path: Path) -> str:
        """Return the place of the key that ends `path`."""
        return self.keys.get(path) or self.where(path)

    def set(self, path: Path, value: Any, where: str) -> None:
        """Replace the value at `path`; missing mappings on the way are created.

        Raises
        ------
        RecipeError
            The path leads through a value that is not a mapping, or past the end of a list.
        """
        parent = self.value
        for length, part in enumerate(path):
            here = path[:length]
            if parent is None and isinstance(part, str):
                parent = {}
                self._put(here, parent)
                self.places.setdefault(here, where)
            if isinstance(part, int) and not (isinstance(parent, list) and part < len(parent)):
                raise _blocked(here, f"a list with more than {part} entries", parent, where)
            if isinstance(part, str) and not isinstance(parent, dict):
                raise _blocked(here, "a mapping", parent, where)
            parent = self.get((*here, part))
            self.keys.setdefault((*here, part), where)
        self._put(path, value)
        self.places = {each: at for each, at in self.places.items() if each[: len(path)] != path}
        self.places[path] = where

    def _put(self, path: Path, value: Any) -> None:
        if path:
            self._find(path[:-1])[path[-1]] = value
        else:
            self.value = value

    def move(self, path: Path, target: Path) -> None:
        """Move the value at `path` to `target`; raise what `set` does."""
        value, where = self.get(path), self.where(path)
        del self._find(path[:-1])[path[-1]]
        self.set(target, value, where)


def _blocked(path: Path, expected: str, found: Any, where: str) -> RecipeError:
    return RecipeError(format_path(path), expected=expected, got=describe(found), where=where)


def format_path(path: Path) -> str:
    """Return a path in the notation of error messages and `--set`, as in `runs.score_ensemble.methods[1]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "recipe"


def describe(value: object) -> str:
    """Return a value as error messages show it."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else f"a list of {len(value)}"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    return str(value)

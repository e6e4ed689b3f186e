"""A recipe as it was written: values that know where they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from committee.errors import RecipeError

Scalar: TypeAlias = str | int | float | bool | None
Plain: TypeAlias = "Scalar | list[Plain] | dict[str, Plain]"
Path: TypeAlias = Sequence[str | int]


@dataclass(frozen=True)
class Node:
    """One value.

    Parameters
    ----------
    value : scalar, dict or list
        A dict and a list hold nodes.
    where : str
        `file:line:column`, or the `--set` that gave it.
    keys : dict
        Where each key of a dict stands.
    """

    value: Scalar | dict[str, Node] | list[Node]
    where: str
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def children(self) -> list[Node]:
        """The nodes right below."""
        if isinstance(self.value, dict):
            return list(self.value.values())
        return self.value if isinstance(self.value, list) else []

    @cached_property
    def size(self) -> int:
        """Nodes from here down, each alias counted as often as it is used."""
        return 1 + sum(child.size for child in self.children)

    def plain(self) -> Plain:
        """Return the value without positions."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def get(self, path: Path) -> Node | None:
        """Return the node at `path`, or None."""
        node: Node | None = self
        for part in path:
            node = node.child(part) if node else None
        return node

    def child(self, part: str | int) -> Node | None:
        """Return the node under a key or at an index, or None."""
        if isinstance(self.value, dict):
            return self.value.get(str(part))
        if isinstance(self.value, list) and isinstance(part, int) and 0 <= part < len(self.value):
            return self.value[part]
        return None

    def with_value(self, path: Path, new: Node, done: Path = ()) -> Node:
        """Return a copy in which `new` stands at `path`; mappings on the way are made where they lack.

        Raises
        ------
        RecipeError
            The path leads through something that is no mapping, or past the end of a list.
        """
        if not path:
            return new
        head, rest, here = path[0], path[1:], [*done, path[0]]
        if isinstance(head, int):
            old = self.child(head)
            if not isinstance(self.value, list) or old is None:
                raise self._no_way(done, f"a list with more than {head} entries", new.where)
            changed = old.with_value(rest, new, here)
            return Node([changed if i == head else node for i, node in enumerate(self.value)], self.where)
        if self.value is not None and not isinstance(self.value, dict):
            raise self._no_way(done, "a mapping", new.where)
        old = self.child(head) or Node(None, new.where)
        children = {**(self.value or {}), head: old.with_value(rest, new, here)}
        return Node(children, self.where, {head: new.where, **self.keys})

    def without(self, key: str) -> Node:
        """Return a copy of a mapping that lacks `key`."""
        assert isinstance(self.value, dict)
        left = {name: node for name, node in self.value.items() if name != key}
        return Node(left, self.where, self.keys)

    def _no_way(self, path: Path, expected: str, where: str) -> RecipeError:
        return RecipeError(spell(path), expected=expected, got=say(self.plain()), where=where)


def spell(path: Path) -> str:
    """Return a path as people write it: `runs.stacking.meta_learners[1]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "recipe"


def say(value: object) -> str:
    """Return a value as an error message shows it."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else f"a list of {len(value)}"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    return str(value)

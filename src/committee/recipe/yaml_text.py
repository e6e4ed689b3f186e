"""YAML 1.2 (core schema) with positions, read event by event so that hostile text stops early.

`3e-4` is a number and `no` is text. Refused: duplicate keys, tags, several documents, and texts that are too
large, too deep, or that aliases blow up (304 bytes can stand for 28 MB). Keys are always text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml import events as ev
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from committee.errors import RecipeError
from committee.recipe.nodes import Node, Scalar, say

MAX_CHARACTERS = 200_000
MAX_NODES = 10_000
MAX_DEPTH = 24

_INTEGER = re.compile(r"[-+]?[0-9]{1,300}")
_BASED = re.compile(r"0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def parse(text: str, source: str, *, lines: bool = True) -> Node:
    """Read one YAML document.

    Parameters
    ----------
    text : str
        The document.
    source : str
        What to call it in errors.
    lines : bool
        Whether positions have a line and a column.

    Raises
    ------
    RecipeError
        The text is not YAML, or is one of those that are refused.
    """
    if len(text) > MAX_CHARACTERS:
        raise RecipeError(
            source,
            expected=f"at most {MAX_CHARACTERS} characters",
            got=f"{len(text)}",
            todo="Is it a recipe?",
        )
    reader = _Reader(lambda mark: f"{source}:{mark.line + 1}:{mark.column + 1}" if lines else source)
    try:
        return reader.document(YAML(typ="safe", pure=True).parse(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = reader.place(mark) if mark else source
        raise _no_yaml(error.problem, where) from None
    except (YAMLError, ValueError) as error:
        if isinstance(error, RecipeError):
            raise
        raise _no_yaml(str(error), source) from None


def _no_yaml(problem: str | None, where: str) -> RecipeError:
    words = " ".join((problem or "").split())
    return RecipeError(f"recipe: this is no YAML: {words[:200]}", where=where)


def scalar(text: str) -> Scalar:
    """Return the value of a plain scalar by YAML 1.2's core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


class _Reader:
    def __init__(self, place: Callable[[Any], str]) -> None:
        self.place = place
        self.anchors: dict[str, Node] = {}
        self.count = 0

    def document(self, events: Iterator[Any]) -> Node:
        root = Node({}, "")
        documents = 0
        for event in events:
            documents += isinstance(event, ev.DocumentStartEvent)
            if documents > 1:
                raise self.refusal("one document", "a second", event)
            if isinstance(event, ev.NodeEvent):
                root = self.node(event, events, 0)
        return root

    def refusal(self, expected: str, got: str, event: Any, todo: str = "") -> RecipeError:
        return RecipeError(
            "recipe", expected=expected, got=got, todo=todo, where=self.place(event.start_mark)
        )

    def node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        self.count += 1
        if self.count > MAX_NODES or depth > MAX_DEPTH:
            raise self.refusal(f"at most {MAX_NODES} values, {MAX_DEPTH} deep", "more", event)
        if isinstance(event, ev.AliasEvent):
            return self.alias(event)
        node = self.fresh(event, events, depth)
        if node.size > MAX_NODES:
            raise self.refusal(
                f"at most {MAX_NODES} values", f"{node.size}", event, "Write aliases out less often."
            )
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def alias(self, event: Any) -> Node:
        node = self.anchors.get(event.anchor)
        if node is None:
            raise self.refusal("an alias of a value above", say(f"*{event.anchor}"), event)
        return node

    def fresh(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        tag = str(event.ctag or "").replace("tag:yaml.org,2002:", "!!")
        if tag not in ("", "!", "!!str"):
            raise self.refusal("plain values", f"the tag {say(tag)}", event)
        where = self.place(event.start_mark)
        if isinstance(event, ev.ScalarEvent):
            return Node(scalar(event.value) if event.implicit[0] and not tag else event.value, where)
        if isinstance(event, ev.SequenceStartEvent):
            return Node(
                [self.node(each, events, depth + 1) for each in _until(events, ev.SequenceEndEvent)], where
            )
        return self.mapping(events, where, depth)

    def mapping(self, events: Iterator[Any], where: str, depth: int) -> Node:
        children: dict[str, Node] = {}
        keys: dict[str, str] = {}
        for event in _until(events, ev.MappingEndEvent):
            if not isinstance(event, ev.ScalarEvent):
                raise self.refusal("keys that are text", "another key", event)
            key = str(event.value)
            if key in children:
                raise self.refusal(
                    f"the key {say(key)} once", f"a second one, after {keys[key]}", event, "Leave one out."
                )
            keys[key] = self.place(event.start_mark)
            children[key] = self.node(next(events), events, depth + 1)
        return Node(children, where, keys)


def _until(events: Iterator[Any], end: type) -> Iterator[Any]:
    """Yield the events that start a child, up to the end of this collection."""
    for event in events:
        if isinstance(event, end):
            return
        yield event

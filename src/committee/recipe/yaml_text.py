"""YAML 1.2 (core schema) with positions, composed by ruamel.yaml within limits that stop hostile text early.

`3e-4` is a number and `no` is text. Duplicate keys, tags and several documents are errors, and so are texts
that are too long, too deep, or that aliases expand too much (304 bytes can stand for 28 MB). Keys are text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml import events as ev
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from committee.errors import RecipeError
from committee.recipe.document import Document, Path, Scalar, describe

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


def parse(text: str, source: str, *, lines: bool = True) -> Document:
    """Read one YAML document.

    Parameters
    ----------
    text : str
        The document. Without any value it is read as an empty mapping.
    source : str
        Name of the document in error messages, such as its path.
    lines : bool
        Whether places have a line and a column.

    Raises
    ------
    RecipeError
        The text is not valid YAML, or exceeds a limit of this module.
    """
    if len(text) > MAX_CHARACTERS:
        raise RecipeError(
            source,
            expected=f"at most {MAX_CHARACTERS} characters",
            got=f"{len(text)}",
            todo="Check that it is a recipe.",
        )

    def place(mark: Any) -> str:
        return f"{source}:{mark.line + 1}:{mark.column + 1}" if lines else source

    try:
        return _document(_compose(text), place)
    except _Refused as error:
        where = place(error.mark)
        raise RecipeError(
            "recipe", expected=error.expected, got=error.got, todo=error.todo, where=where
        ) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _invalid(error.problem, place(mark) if mark else source) from None
    except (YAMLError, ValueError) as error:
        raise _invalid(str(error), source) from None


def _invalid(problem: str | None, where: str) -> RecipeError:
    text = " ".join((problem or "").split())
    return RecipeError(f"recipe: invalid YAML: {text[:200]}", where=where)


def scalar(text: str) -> Scalar:
    """Return the value of a plain scalar by YAML 1.2's core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


class _Refused(YAMLError):
    """Valid YAML that a recipe may not contain."""

    def __init__(self, mark: Any, expected: str, got: str, todo: str = "") -> None:
        super().__init__(expected)
        self.mark, self.expected, self.got, self.todo = mark, expected, got, todo


def _compose(text: str) -> Node | None:
    """Return the root of the document; None where there is no value."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    documents = list(yaml.compose_all(text))
    return documents[0] if documents else None


class _Composer(Composer):
    """ruamel.yaml's composer of nodes, which stops at the limits and converts plain scalars."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self.warn_double_anchors = False
        self.sizes: dict[int, int] = {}
        self.count = 0

    def compose_document(self) -> Any:
        if self.count:
            raise _Refused(self.parser.peek_event().start_mark, "one document", "a second")
        return super().compose_document()

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        is_key = isinstance(parent, MappingNode) and index is None
        if is_key:
            if not isinstance(event, ev.ScalarEvent):
                raise _Refused(event.start_mark, "keys that are text", "another key")
            return super().compose_node(parent, index)
        self._check(event)
        node = super().compose_node(parent, index)
        if isinstance(event, ev.ScalarEvent) and event.implicit[0] and not event.ctag:
            node.value = scalar(event.value)
        self._check_size(node, event)
        return node

    def _check(self, event: Any) -> None:
        """Refuse too many values, aliases of values that are not complete, and tags."""
        self.count += 1
        if self.count > MAX_NODES or self.depth > MAX_DEPTH:
            raise _Refused(event.start_mark, f"at most {MAX_NODES} values, {MAX_DEPTH} deep", "more")
        if isinstance(event, ev.AliasEvent):
            if getattr(self.anchors.get(event.anchor), "end_mark", None) is None:
                raise _Refused(event.start_mark, "an alias of a value above", describe(f"*{event.anchor}"))
            return
        tag = str(event.ctag or "").replace("tag:yaml.org,2002:", "!!")
        if tag not in ("", "!", "!!str"):
            raise _Refused(event.start_mark, "plain values", f"the tag {describe(tag)}")

    def _check_size(self, node: Node, event: Any) -> None:
        """Refuse a value that has too many parts once its aliases are written out."""
        size = 1 + sum(self.sizes[id(child)] for child in _children(node))
        self.sizes[id(node)] = size
        if size > MAX_NODES:
            todo = "Use fewer aliases of large values."
            raise _Refused(event.start_mark, f"at most {MAX_NODES} values", f"{size}", todo)


def _children(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [value for _, value in node.value]
    return node.value if isinstance(node, SequenceNode) else []


def _document(root: Node | None, place: Callable[[Any], str]) -> Document:
    """Return plain values and their places; each use of an alias becomes a value of its own."""
    document = Document({})

    def convert(node: Node, path: Path) -> Any:
        document.places[path] = place(node.start_mark)
        if isinstance(node, SequenceNode):
            return [convert(each, (*path, number)) for number, each in enumerate(node.value)]
        if not isinstance(node, MappingNode):
            return node.value
        result = {}
        for key, value in node.value:
            inner = (*path, key.value)
            if inner in document.keys:
                got = f"a second one, after {document.keys[inner]}"
                raise _Refused(key.start_mark, f"the key {describe(key.value)} once", got, "Leave one out.")
            document.keys[inner] = place(key.start_mark)
            result[key.value] = convert(value, inner)
        return result

    if root is not None:
        document.value = convert(root, ())
    return document

"""Faster reading of the sizes of tensors in files of torch.export."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_changing = threading.RLock()
"""Held while a method of torch is replaced."""


@contextmanager
def sizes_read_once() -> Iterator[None]:
    """Have torch parse each expression of a size once in a file, not for each tensor that has this size.

    Sizes of resized images are long expressions of the free height and width. The graph of two small networks
    has 75 of them in 524 places, and SymPy parses them in most of the time in which the file is opened.
    """
    from torch._export.serde.serialize import GraphModuleDeserializer as Reader

    with _changing:
        parse = getattr(Reader, "_parse_sym_expr", None)
        if parse is None:  # not all versions of torch have it
            yield
            return
        Reader._parse_sym_expr = _remembering(parse)  # type: ignore[method-assign]
        try:
            yield
        finally:
            Reader._parse_sym_expr = parse  # type: ignore[method-assign]


def _remembering(parse: Callable[..., Any]) -> Callable[..., Any]:
    def parse_once(reader: Any, text: Any, hint: Any = None) -> Any:
        symbols: object
        known: dict[object, Any]
        symbols, known = getattr(reader, "_parsed", (None, {}))
        if symbols is not reader.symbol_name_to_symbol:  # those of another graph
            known = {}
            reader._parsed = (reader.symbol_name_to_symbol, known)
        key = (type(text), text, type(hint), hint)
        if key not in known:
            known[key] = parse(reader, text, hint)
        return known[key]

    return parse_once

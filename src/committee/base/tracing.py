"""Whether a module is being recorded as a graph, in which no branch may depend on the values of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_depth = 0


@contextmanager
def tracing() -> Iterator[None]:
    """Make `is_tracing` true inside the block. An exporter whose file is a graph records it in such a block.

    Examples
    --------
    >>> from committee.base.tracing import is_tracing, tracing
    >>> with tracing():
    ...     is_tracing()
    True
    >>> is_tracing()
    False
    """
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


def is_tracing() -> bool:
    """Return whether a module is being recorded as a graph, by an exporter or by `torch.compile`.

    Modules then take the path that holds for every batch size, height and width, and leave out shortcuts such
    as skipping a resize that would not change the image.
    """
    return _depth > 0 or torch.compiler.is_compiling()

"""Whether a module is being recorded as a graph, and what the graph records of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    P = ParamSpec("P")
    R = TypeVar("R")

_depth = 0
_operations: dict[Callable[..., Any], Callable[..., Any]] = {}
_values: dict[tuple[int, str], Any] = {}


@contextmanager
def tracing(
    module: nn.Module | None = None,
    operations: Mapping[Callable[..., Any], Callable[..., Any]] | None = None,
) -> Iterator[None]:
    """Make `is_tracing` true inside the block. An exporter whose file is a graph records it in such a block.

    Parameters
    ----------
    module : torch.nn.Module, optional
        The module that is recorded, whose buffers `constant` can read.
    operations : mapping of callable to callable, optional
        Functions decorated with `operation`, each with what is recorded in place of its body.

    Examples
    --------
    >>> from committee.base.tracing import is_tracing, tracing
    >>> with tracing():
    ...     is_tracing()
    True
    >>> is_tracing()
    False
    """
    global _depth, _operations, _values
    before = _depth, _operations, _values
    _depth, _operations = _depth + 1, {**_operations, **(operations or {})}
    _values = {**_values, **(_values_of(module) if module is not None else {})}
    try:
        yield
    finally:
        _depth, _operations, _values = before


def is_tracing() -> bool:
    """Return whether a module is being recorded as a graph, by an exporter or by `torch.compile`.

    Modules then take the path that holds for every batch size, height and width, and leave out shortcuts such
    as skipping a resize that would not change the image.
    """
    return _depth > 0 or torch.compiler.is_compiling()


def operation(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that an exporter may record as one operation of its own; see `tracing`."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        chosen: Callable[P, R] = _operations.get(call, function)
        return chosen(*args, **kwargs)

    return call


@operation
def when(needed: Tensor, value: Tensor, otherwise: Tensor) -> Tensor:
    """Return `value`, which is the same as `otherwise` unless `needed` is true for an element.

    In a graph with branches, what only `value` depends on is computed only if it is needed. In other graphs,
    it is always computed.

    Parameters
    ----------
    needed : bool tensor
    value, otherwise : tensors of the same shape
    """
    return value


def has_branches() -> bool:
    """Return whether a graph is being recorded that can leave out what `when` does not need."""
    return when in _operations


def constant(module: nn.Module, name: str) -> Any:
    """Return a buffer of a module as a number or nested lists of numbers, also while it is recorded.

    A graph that is recorded of the module holds for these values only.
    """
    values = _values.get(_key(module, name))
    return module.get_buffer(name).tolist() if values is None else values.tolist()


def _values_of(module: nn.Module) -> dict[tuple[int, str], Any]:
    """Return the buffers as arrays: tensors have no values while they are recorded."""
    return {
        _key(part, name): buffer.detach().cpu().numpy()
        for part in module.modules()
        for name, buffer in part.named_buffers(recurse=False)
        if buffer.dtype != torch.bfloat16
    }


def _key(module: nn.Module, name: str) -> tuple[int, str]:
    """Return what identifies a buffer: while a module is recorded, torch may put a proxy in its place.

    The proxy of a module that has several paths is another object with the same attributes.
    """
    return id(vars(module)), name

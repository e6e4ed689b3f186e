"""Operations that have no rule of their own, computed by `torch.vmap` or for one network after the other."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from committee.models.stacked.alike import NotStackable
from committee.models.stacked.many import Many, is_many

Call = Callable[..., Any]


@dataclass(frozen=True)
class Run:
    """One forward pass of several networks.

    Attributes
    ----------
    count : int
        Number of networks M.
    generators : sequence of torch.Generator or None
        That from which each network draws; None for the global one.
    refused : list of NotStackable
        What was raised in the pass, where the network may have caught it.
    """

    count: int
    generators: Sequence[torch.Generator] | None = None
    refused: list[NotStackable] = field(default_factory=list)

    def one_by_one(self, func: Call, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a function with the tensors of one network after the other, and stack what it returns."""
        results = []
        for place in range(self.count):
            own, named = pytree.tree_map_only(Many, lambda each: each[place], (args, kwargs))  # noqa: B023
            with self._drawing(place):
                results.append(func(*own, **named))
        return pytree.tree_map(partial(_stacked, func), *results)

    @contextmanager
    def _drawing(self, place: int) -> Iterator[None]:
        """Let functions draw from the generator of a network in place of the global one."""
        if self.generators is None:
            yield
            return
        own = self.generators[place]
        library = torch.get_device_module(own.device) if own.device.type != "cpu" else torch
        before = library.get_rng_state()
        library.set_rng_state(own.get_state())
        try:
            yield
        finally:
            own.set_state(library.get_rng_state())
            library.set_rng_state(before)


Rule = Callable[[Run, Call, Sequence[Any], dict[str, Any]], Any]
"""An operation of one network, computed for all: it returns tensors `[M, ...]`."""


def mapped(run: Run, func: Call, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Compute an operation that has no rule with `torch.vmap`, or else for one network after the other."""
    leaves, spec = pytree.tree_flatten((tuple(args), kwargs))
    places = [place for place, leaf in enumerate(leaves) if is_many(leaf)]

    def call(*own: Tensor) -> Any:
        values = list(leaves)
        for place, tensor in zip(places, own, strict=True):
            values[place] = tensor
        positional, named = pytree.tree_unflatten(values, spec)
        return func(*positional, **named)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It says which operations it does in a loop.
            return torch.vmap(call)(*(leaves[place].as_subclass(Tensor) for place in places))
    except Exception:  # What `vmap` does not take; an error of the operation itself is raised again here.
        return run.one_by_one(func, args, kwargs)


def in_place(run: Run, func: Call, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Change the tensor of one network after the other."""
    target = kwargs.get("out", args[0])
    out = run.one_by_one(func, args, kwargs)
    return None if out is None else target


def _stacked(func: Call, *each: Any) -> Any:
    if not isinstance(each[0], Tensor):
        return each[0]
    if any(own.shape != each[0].shape for own in each):
        raise NotStackable(f"a forward pass whose shapes depend on the values of a tensor ({func.__name__})")
    return torch.stack(each)

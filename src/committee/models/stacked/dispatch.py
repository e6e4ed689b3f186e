"""How operations of one network are computed for several networks of the same architecture."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from committee.models.stacked import _layers, _pointwise, _random, _shapes
from committee.models.stacked.alike import NotStackable
from committee.models.stacked.fallback import Rule, Run, in_place, mapped
from committee.models.stacked.many import Many, is_many

Call = Callable[..., Any]
HOLDERS = (torch, Tensor, nn.functional, torch._C._nn, torch.special)
"""Where torch keeps the functions that have a rule."""


class Dispatch(TorchFunctionMode):
    """Inside it, the forward pass of one network computes what all networks of a stack return.

    Each operation that reads a parameter or buffer of the network, or what was computed from one, is done
    for all networks: by the rule for it (a product of stacked matrices, a convolution with groups, ...), by
    `torch.vmap` if there is none, or for one network after the other if `vmap` does not take it. What depends
    on no network is computed once.

    Parameters
    ----------
    stacked : mapping of int to Many
        The tensors `[M, ...]` by the `id` of those of the network that runs.
    count : int
        Number of networks M.
    generators : sequence of torch.Generator, optional
        That from which each network draws.
    """

    def __init__(
        self, stacked: Mapping[int, Tensor], count: int, generators: Sequence[torch.Generator] | None = None
    ) -> None:
        super().__init__()
        self.stacked, self.run = stacked, Run(count, generators)

    def __torch_function__(
        self, func: Call, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        own, found = self._replaced(args)
        named: dict[str, Any] = {}
        if kwargs:
            values, also = self._replaced(kwargs.values())
            named, found = dict(zip(kwargs, values, strict=True)), found or also
        rule = _rules().get(func)
        if not (found or rule in _random.OF_ALL):
            return func(*args, **(kwargs or {}))
        changes = "out" in named or _is_in_place(func)
        if changes and not all(map(is_many, pytree.tree_leaves(named.get("out", own[0])))):
            raise NotStackable(
                f"a forward pass that writes what differs into a tensor of all ({func.__name__})"
            )
        if rule is None or "out" in named:
            rule = in_place if changes else mapped
        out = rule(self.run, func, own, named)
        if changes and out is not None:
            # A module may keep it as its buffer: it has to be that of the first network.
            return (kwargs or {}).get("out", args[0])
        return out.as_subclass(Many) if type(out) is Tensor else _marked(out)

    def _replaced(self, values: Iterable[Any]) -> tuple[list[Any], bool]:
        """Return arguments with the tensors of all networks for those of the first; whether there are any."""
        own, found = [], False
        for value in values:
            if isinstance(value, Tensor):
                value = self.stacked.get(id(value), value)
                found = found or type(value) is Many
            elif type(value) in (tuple, list):
                inner, some = self._replaced(value)
                value, found = type(value)(inner), found or some
            own.append(value)
        return own, found


def _is_in_place(func: Call) -> bool:
    name = func.__name__
    return name == "__setitem__" or name.startswith("__i") or (name[-1] == "_" and name[-2:] != "__")


def _marked(value: Any) -> Any:
    """Mark tensors `[M, ...]` in what an operation returned."""
    if isinstance(value, tuple | list):
        kind: Any = type(value)
        return kind(map(_marked, value)) if kind in (tuple, list) else kind([*map(_marked, value)])
    return value.as_subclass(Many) if type(value) is Tensor else value


@cache
def _rules() -> dict[Call, Rule]:
    """Return the rules by the functions of torch that have their names."""
    tables = (_pointwise.RULES, _shapes.RULES, _layers.RULES, _random.RULES)
    found = {}
    for holder, (name, rule) in itertools.product(
        HOLDERS, (pair for table in tables for pair in table.items())
    ):
        function: Any = getattr(holder, name, None)
        if callable(function) and not isinstance(function, type):
            found[function] = rule
        elif holder is Tensor and function is not None:  # An attribute, such as the shape.
            found[function.__get__] = rule
    return found

"""Whether networks have the same architecture, so that they can run as one."""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from committee.base.arguments import all_of
from committee.errors import CommitteeError

STATE = ("_parameters", "_buffers", "_modules", "training", "_non_persistent_buffers_set")
CHECKPOINTING = ("grad_checkpointing", "gradient_checkpointing")
"""Attributes of layers of timm and of Hugging Face."""
HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


class NotStackable(CommitteeError):
    """Networks cannot run as one; the message contains the reason.

    Parameters
    ----------
    reason : str
        Part of a sentence.
    todo : str
        What to do next, as a full sentence.

    Attributes
    ----------
    reason : str
    """

    def __init__(self, reason: str, todo: str = "") -> None:
        super().__init__("networks that run as one", got=reason, todo=todo)
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reason, self.todo)


def groups(networks: Sequence[nn.Module]) -> list[list[int]]:
    """Return the positions of networks that can share a stack: those of the same architecture.

    Parameters
    ----------
    networks : sequence of nn.Module

    Returns
    -------
    list of list of int
        In the order of the first of each group; every position occurs once. A network that resembles no other
        is a group of its own.

    See Also
    --------
    Stack : Runs the networks of a group as one.

    Examples
    --------
    >>> from torch import nn
    >>> from committee.models.stacked import groups
    >>> groups([nn.Linear(4, 2), nn.Linear(4, 3), nn.Linear(4, 2)])
    [[0, 2], [1]]
    """
    networks = all_of("networks", networks, nn.Module, "networks")
    found: list[list[int]] = []
    for place, network in enumerate(networks):
        group = next((each for each in found if not difference(networks[each[0]], network)), None)
        if group is None:
            found.append([place])
        else:
            group.append(place)
    return found


def difference(first: nn.Module, other: nn.Module) -> str:
    """Return how the architectures of two networks differ, as part of a sentence; "" if they do not."""
    layers, others = dict(first.named_modules()), dict(other.named_modules())
    if layers.keys() != others.keys():
        name = min(layers.keys() ^ others.keys())
        return f"only one of them has the layer '{name}'"
    for name, layer in layers.items():
        if reason := _difference_of_layers(layer, others[name]):
            return f"{reason} of {f'layer {name!r}' if name else 'the network'} differs"
    return _difference_of_ties(first, other)


def _difference_of_layers(first: nn.Module, other: nn.Module) -> str:
    if type(first) is not type(other) and not _same_class(type(first), type(other)):
        return "the class"
    for kind in ("_parameters", "_buffers"):
        own, its = getattr(first, kind), getattr(other, kind)
        if own.keys() != its.keys():
            return f"the set of {kind[1:]}"
        for name in own:
            if _form(own[name]) != _form(its[name]):
                return f"'{name}'"
    if first.training != other.training:
        return "the mode (training or evaluation)"
    own, its = _attributes(first), _attributes(other)
    if own.keys() != its.keys():
        return f"the attribute '{min(own.keys() ^ its.keys())}'"
    return next((f"the attribute '{name}'" for name in own if not _same(own[name], its[name])), "")


def _same_class(first: type, other: type) -> bool:
    """Return whether two classes are one, or both made by `torch.nn.utils.parametrize` from one."""
    made = first.__name__ == other.__name__ and first.__name__.startswith("Parametrized")
    return made and first.__mro__[1] is other.__mro__[1]


def _difference_of_ties(first: nn.Module, other: nn.Module) -> str:
    """Compare which names of parameters and buffers are the same tensor."""
    return "" if _ties(first) == _ties(other) else "they share other parameters among their layers"


def _ties(network: nn.Module) -> list[int]:
    places: dict[int, int] = {}
    return [places.setdefault(id(each), len(places)) for _, each in tensors(network, unique=False)]


def tensors(network: nn.Module, *, unique: bool = True) -> list[tuple[str, Tensor]]:
    """Return parameters and buffers by name; unless `unique`, shared ones under each of their names."""
    return [
        *network.named_parameters(remove_duplicate=unique),
        *network.named_buffers(remove_duplicate=unique),
    ]


def _form(value: Tensor | None) -> Any:
    """Return what tensors of one place must have in common."""
    return value if value is None else (value.shape, value.dtype, value.device)


def _attributes(layer: nn.Module) -> dict[str, Any]:
    return {
        name: value for name, value in vars(layer).items() if not (name in STATE or name.endswith("_hooks"))
    }


def _same(first: Any, other: Any, depth: int = 5) -> bool:
    """Return whether two attributes are the same for all that a forward pass may ask of them."""
    if first is other:
        return True
    if type(first) is not type(other):
        return False
    if isinstance(first, Tensor):
        return first.shape == other.shape and first.dtype == other.dtype and bool(torch.equal(first, other))
    if depth < 0:
        return False
    if isinstance(first, np.ndarray):
        return first.dtype == other.dtype and np.array_equal(first, other)
    if isinstance(first, weakref.ref):
        return _same(first(), other(), depth - 1)
    if isinstance(first, nn.Module):
        return True  # Layers are compared by their names in the network.
    if isinstance(first, Mapping):
        return first.keys() == other.keys() and all(_same(first[key], other[key], depth - 1) for key in first)
    if isinstance(first, tuple | list):
        return len(first) == len(other) and all(map(functools.partial(_same, depth=depth - 1), first, other))
    if isinstance(first, functools.partial):
        return _same(
            (first.func, first.args, first.keywords), (other.func, other.args, other.keywords), depth - 1
        )
    if isinstance(first, types.FunctionType):
        return first.__code__ is other.__code__ and _same(_values(first), _values(other), depth - 1)
    if isinstance(first, types.MethodType):
        return first.__func__ is other.__func__
    with suppress(Exception):  # Not all objects can be compared.
        if first == other:
            return True
    return bool(getattr(first, "__dict__", None)) and _same(vars(first), vars(other), depth - 1)


def _values(function: types.FunctionType) -> list[Any]:
    """Return the default arguments of a function and the variables of its closure."""
    return [function.__defaults__, *(cell.cell_contents for cell in function.__closure__ or ())]


def obstacle(network: nn.Module) -> str:
    """Return what keeps a network from running with others, as part of a sentence; "" if nothing is known."""
    for name, layer in network.named_modules():
        which = f"layer '{name or type(layer).__name__}'"
        if any(getattr(layer, kind) for kind in HOOKS):
            return f"a hook of {which}, which would see the tensors of all networks"
        if any(vars(layer).get(kind) is True for kind in CHECKPOINTING):
            return (
                f"{which} that computes its activations again in the backward pass (gradient checkpointing)"
            )
    return ""

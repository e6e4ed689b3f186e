"""Operations that arrange or reduce dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from committee.models.stacked.fallback import Rule, Run, mapped
from committee.models.stacked.many import aligned, expanded, ndim

Call = Callable[..., Any]


def behind(dim: Any) -> Any:
    """Return a dimension, or several, of one network as those of `[M, ...]`."""
    if isinstance(dim, tuple | list):
        return tuple(map(behind, dim))
    return dim + 1 if isinstance(dim, int) and dim >= 0 else dim


def along(place: int, default: Any = None, places: int = 1) -> Rule:
    """Return the rule of an operation with `places` dimensions as its arguments from `place` on, or as `dim`.

    Parameters
    ----------
    place : int
        Position of the dimension among the arguments.
    default : int, optional
        The dimension that is meant without one; None if all are.
    places : int
        How many positional arguments are dimensions.
    """

    def rule(run: Run, func: Call, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if "dim" in kwargs:
            kwargs = {**kwargs, "dim": behind(kwargs["dim"])}
        elif len(args) > place:
            dims = [behind(dim) for dim in args[place : place + places]]
            args = [*args[:place], *dims, *args[place + places :]]
        elif default is not None:
            kwargs = {**kwargs, "dim": behind(default)}
        if kwargs.get("dim", args[place] if len(args) > place else None) is None:
            return mapped(run, func, args, kwargs)
        return func(*args, **kwargs)

    return rule


def _sizes(args: Sequence[Any]) -> Sequence[Any]:
    """Return sizes that were given one by one, or as one sequence."""
    return args[0] if len(args) == 1 and isinstance(args[0], tuple | list) else args


def reshape(run: Run, func: Call, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    sizes = _sizes(args[1:] or tuple(kwargs.values()))
    if not all(isinstance(size, int) for size in sizes):
        return mapped(run, func, args, kwargs)
    return args[0].reshape(run.count, *sizes)


def flatten(run: Run, func: Call, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    start = args[1] if len(args) > 1 else kwargs.get("start_dim", 0)
    end = args[2] if len(args) > 2 else kwargs.get("end_dim", -1)
    if ndim(args[0]) == 0:
        return args[0].unsqueeze(1)
    return args[0].flatten(behind(start), behind(end))


def permute(run: Run, func: Call, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    dims = _sizes(args[1:] or tuple(kwargs.values()))
    return args[0].permute(0, *[dim % ndim(args[0]) + 1 for dim in dims])


def expand(run: Run, func: Call, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    sizes, value = _sizes(args[1:]), args[0]
    missing = len(sizes) - ndim(value)
    return value.reshape(run.count, *[1] * missing, *value.shape[1:]).expand(run.count, *sizes)


def select(run: Run, func: Call, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    index = args[1] if isinstance(args[1], tuple) else (args[1],)
    if any(not isinstance(each, int | slice | type(None) | type(...)) for each in index):
        return mapped(run, func, args, kwargs)
    return args[0][(slice(None), *index)]


def join(run: Run, func: Call, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    tensors = [expanded(each, run.count) for each in args[0]]
    dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
    return func(tensors, behind(dim))


def matmul(run: Run, func: Call, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    if min(map(ndim, args)) < 2:
        return mapped(run, func, args, kwargs)
    return torch.matmul(*aligned(args))


def contiguous(run: Run, func: Call, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Return the tensor: its layout in memory is that of the operation that reads it."""
    value: Tensor = args[0]
    return value


REDUCTIONS = [
    "sum",
    "mean",
    "amax",
    "amin",
    "any",
    "all",
    "argmax",
    "argmin",
    "softmax",
    "log_softmax",
    "softmin",
    "logsumexp",
    "cumsum",
]
RULES: dict[str, Rule] = {
    **dict.fromkeys(REDUCTIONS, along(1)),
    **dict.fromkeys(("unsqueeze", "squeeze"), along(1)),
    "unbind": along(1, 0),
    "glu": along(1, -1),
    **dict.fromkeys(("chunk", "split", "split_with_sizes", "tensor_split"), along(2, 0)),
    **dict.fromkeys(("select", "narrow"), along(1)),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims", "movedim"), along(1, places=2)),
    **dict.fromkeys(("reshape", "view"), reshape),
    "flatten": flatten,
    "permute": permute,
    "expand": expand,
    "__getitem__": select,
    **dict.fromkeys(("cat", "concat", "concatenate", "stack"), join),
    **dict.fromkeys(("matmul", "__matmul__"), matmul),
    "contiguous": contiguous,
}

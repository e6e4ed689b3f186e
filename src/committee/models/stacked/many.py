"""One tensor of each of several networks, as one tensor, and how it is laid out for an operation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Many(torch.Tensor):
    """A tensor `[M, ...]` that stands for one tensor `[...]` of each of M networks.

    It is a mark only: inside `Dispatch`, operations on it are those of its networks; elsewhere it is a tensor
    with one dimension more.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]


def is_many(value: Any) -> bool:
    """Return whether a value stands for a tensor of each network."""
    return type(value) is Many


def ndim(value: Tensor) -> int:
    """Return the number of dimensions that one network sees."""
    return value.ndim - is_many(value)


def expanded(value: Tensor, count: int) -> Tensor:
    """Return a tensor that all networks share as `[M, ...]`, without a copy."""
    return value if is_many(value) else value.expand(count, *value.shape)


def aligned(values: Iterable[Any]) -> list[Any]:
    """Return operands with singleton dimensions behind M, so that they broadcast as those of one network."""
    values = list(values)
    most = max(ndim(value) for value in values if isinstance(value, Tensor))
    return [_with_ndim(value, most) if is_many(value) else value for value in values]


def _with_ndim(value: Tensor, count: int) -> Tensor:
    missing = count - ndim(value)
    return value.reshape(len(value), *[1] * missing, *value.shape[1:]) if missing else value


def per_sample(value: Tensor, call: Callable[[Tensor], Tensor]) -> Tensor:
    """Return what a function of single samples makes of `[M, B, ...]`, with both dimensions as one.

    The one that is outer in memory stays outer, so that nothing is copied.
    """
    if value.stride(0) >= value.stride(1):
        return call(value.flatten(0, 1)).unflatten(0, value.shape[:2])
    flipped = value.transpose(0, 1)
    return call(flipped.flatten(0, 1)).unflatten(0, flipped.shape[:2]).transpose(0, 1)


def per_channel(value: Tensor, call: Callable[[Tensor], Tensor]) -> Tensor:
    """Return what a function of single channels of a sample makes of `[M, B, C, ...]`."""
    count, size = value.shape[0], value.shape[2]
    if value.stride(0) == size * value.stride(2):
        return channels_apart(call(channels_together(value)), count)
    return per_sample(value, call)


def in_memory_order(value: Tensor, last: int, call: Callable[[Tensor], Tensor]) -> Tensor:
    """Return what a function of the `last` dimensions makes of a tensor, without a copy.

    The other dimensions get the order that they have in memory, and their own order back.
    """
    order = sorted(range(value.ndim - last), key=value.stride, reverse=True)
    out = call(value.permute(*order, *range(value.ndim - last, value.ndim)))
    back = sorted(range(len(order)), key=order.__getitem__)
    return out.permute(*back, *range(len(back), out.ndim))


def channels_together(value: Tensor) -> Tensor:
    """Return `[B, M * C, ...]` of `[M, B, C, ...]`; without a copy, if it is laid out so in memory."""
    return value.transpose(0, 1).flatten(1, 2)


def channels_apart(value: Tensor, count: int) -> Tensor:
    """Return the view `[M, B, C, ...]` of `[B, M * C, ...]`."""
    return value.unflatten(1, (count, -1)).transpose(0, 1)


def channels_last(value: Tensor) -> Tensor:
    """Return images `[B, C, H, W]` with the channels innermost in memory, if they are on a CPU.

    There, a convolution with groups is several times as fast as with the channels outermost.
    """
    if value.ndim != 4 or value.device.type != "cpu":
        return value
    if value.shape[1] > 1:
        return value.contiguous(memory_format=torch.channels_last)
    height, width = value.shape[2:]
    return value.contiguous().as_strided(value.shape, (height * width, 1, width, 1))

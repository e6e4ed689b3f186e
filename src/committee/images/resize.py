"""Exact antialiased resizing of uint8 images: every engine returns the same bytes."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from committee.base.sizes import greatest, least
from committee.base.tracing import is_tracing, operation
from committee.images.blocks import blocks

UNIT = 1 << 15
"""Sum of the integer weights of an output pixel: 255 * 2**15 is below 2**23, so float32 sums are exact."""
BLOCK, _INPUTS = 8, 64
"""Output rows that are computed at once: at least 8, and more where they need fewer than 64 input rows."""


class Axis(NamedTuple):
    """How one axis of an image is resized.

    Attributes
    ----------
    start, length : int
        The pixels `start` to `start + length` of the image are resized.
    scaled : int
        Number of pixels to which they are resized.
    first, size : int
        Of these, the pixels `first` to `first + size` are returned; pixels outside 0 to `scaled` are black.
    """

    start: Any
    length: Any
    scaled: Any
    first: Any
    size: int


def resize(images: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Resize images by a triangle filter, antialiased, rows first and then columns.

    Parameters
    ----------
    images : uint8 `[B, c, H, W]`
    rows, columns : Axis

    Returns
    -------
    uint8 `[B, c, rows.size, columns.size]`

    Notes
    -----
    The filter is that of `torch.nn.functional.interpolate(mode="bilinear", antialias=True)`, and the result
    differs from it by at most one level. Its weights are multiples of `2**-15`, computed with integers, so
    all products and sums are exact in float32 in any order: torch on a CPU or GPU and onnxruntime return the
    same bytes.

    Examples
    --------
    >>> import torch
    >>> from committee.images.resize import Axis, resize
    >>> images = torch.tensor([[[[0, 100, 200]]]], dtype=torch.uint8)
    >>> resize(images, Axis(0, 1, 1, 0, 1), Axis(0, 3, 6, 0, 6))[0, 0].tolist()
    [[0, 25, 75, 125, 175, 200]]
    """
    if not is_tracing():  # a slice of symbolic length would fix in the graph which side is the longer one
        images = images.narrow(3, columns.start, columns.length)
        columns = columns._replace(start=0)
    return _resize_rows(_resize_rows(images, rows).mT, columns).mT


def _resize_rows(images: Tensor, axis: Axis) -> Tensor:
    if is_tracing():
        return resize_in_graph(images, *axis)
    start, length, scaled, first, size = axis
    if length == scaled and 0 <= first <= length - size:
        return images.narrow(2, start + first, size)
    # Stored by columns, which are the rows of the other axis.
    result = images.new_empty(*images.shape[:2], images.shape[3], size).mT
    with torch.autocast(images.device.type, enabled=False):
        for weights, inputs, outputs in _steps(axis, images.device):
            for part in blocks(images):
                pixels = images[part, :, inputs].to(weights.dtype)
                result[part, :, outputs] = torch.matmul(weights, pixels).round_()
    return result


@operation
def resize_in_graph(images: Tensor, start: Any, length: Any, scaled: Any, first: Any, size: int) -> Tensor:
    """Resize the rows of images in one product of all blocks, for graphs in which heights are symbols.

    The arguments after `images` are those of an `Axis`.
    """
    axis = Axis(start, length, scaled, first, size)
    weights, places = filter_weights(axis, BLOCK, images.device)
    count = weights.shape[2]
    rows = places + torch.arange(count, device=images.device)
    pixels = images.index_select(2, rows.flatten()).unflatten(2, (weights.shape[0], count))
    # onnxruntime does not broadcast to a batch of no images, hence expand.
    weights = weights.float().expand(images.shape[0], 1, *weights.shape)
    result = torch.matmul(weights, pixels.float()).round().to(torch.uint8)
    return result.flatten(2, 3)[:, :, :size]


def filter_weights(axis: Axis, block: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the weights of the filter for blocks of output pixels.

    Parameters
    ----------
    axis : Axis
    block : int
        Number of output pixels in a block.
    device : torch.device

    Returns
    -------
    weights : float64 `[blocks, block, L]`
        Multiples of `1 / UNIT`, which sum to 1 for each output pixel, or to 0 outside the resized image.
    first : int64 `[blocks, 1]`
        Position in the image of the first of the L input pixels of each block.
    """
    length, scaled = axis.length, axis.scaled
    wide = greatest(length, scaled)
    count = least(length, ((block - 1) * length + 2 * wide) // scaled + 2)
    number = -(-axis.size // block)
    outputs = torch.arange(number * block, device=device).reshape(number, block, 1) + axis.first
    # Input pixel i and output pixel o are |(2 i + 1) scaled - (2 o + 1) length| apart, in units of 1/2
    # pixel / scaled; the support of the triangle is 2 wide.
    first = ((2 * outputs[:, :1] + 1) * length - 2 * wide - scaled) // (2 * scaled) + 1
    first = first.clamp(min=0).minimum(torch.ones_like(first) * (length - count))
    inputs = first + torch.arange(count, device=device)
    distance = ((2 * inputs + 1) * scaled - (2 * outputs + 1) * length).abs()
    sums = ((2 * wide - distance).clamp(min=0) * ((outputs >= 0) & (outputs < scaled))).cumsum(2)
    total = sums[..., -1:].clamp(min=1)
    # The translation of torch.div to ONNX divides integers as float32; that of // is exact.
    rounded = (sums * (2 * UNIT) + total) // (2 * total)
    weights = rounded - torch.nn.functional.pad(rounded, (1, 0))[..., :-1]
    return weights.double() / UNIT, first[:, :, 0] + axis.start


def _steps(axis: Axis, device: torch.device) -> Iterator[tuple[Tensor, slice, slice]]:
    """Yield the weights, the input rows and the output rows of each block."""
    # Float64 is never replaced by TF32 or bfloat16, as float32 is on GPUs or on request.
    exact = device.type != "cuda" and torch.get_float32_matmul_precision() == "highest"
    block = min(axis.size, max(BLOCK, _INPUTS * axis.scaled // axis.length))
    weights, first = _cached_weights(axis, block, device, torch.float32 if exact else torch.float64)
    for number, start in enumerate(first):
        outputs = slice(number * block, min((number + 1) * block, axis.size))
        rows = weights[number, : outputs.stop - outputs.start]
        yield rows, slice(start, start + rows.shape[1]), outputs


@functools.lru_cache(maxsize=32)
def _cached_weights(
    axis: Axis, block: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, list[int]]:
    with torch.inference_mode(False):
        weights, first = filter_weights(axis, block, torch.device("cpu"))
        return weights.to(device, dtype), first[:, 0].tolist()

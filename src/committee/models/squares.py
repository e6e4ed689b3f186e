"""Squares that are cut out of canvases."""

from __future__ import annotations

import torch
from torch import Tensor

from committee.images.resize import Axis, resize


def center(canvas: Tensor, size: int) -> Tensor:
    """Return the center of canvases, uint8 `[B, c, S, S]` to `[B, c, size, size]`."""
    start = (canvas.shape[-1] - size) // 2
    return window(canvas, start, start, size)


def window(canvas: Tensor, top: int, left: int, side: int) -> Tensor:
    """Return the squares at (`top`, `left`) of canvases, uint8 `[B, c, S, S]` to `[B, c, side, side]`.

    Outside of the canvas, its border is repeated.
    """
    return _span(_span(canvas, 2, top, side), 3, left, side)


def scaled(square: Tensor, size: int) -> Tensor:
    """Resize squares, uint8 `[B, c, s, s]`, to `[B, c, size, size]`, with the filter of the preprocessing."""
    side = square.shape[-1]
    if side == size:
        return square
    axis = Axis(0, side, size, 0, size)
    return resize(square, axis, axis)


def _span(images: Tensor, dim: int, start: int, length: int) -> Tensor:
    whole = images.shape[dim]
    if start >= 0 and start + length <= whole:
        return images.narrow(dim, start, length)
    places = torch.arange(start, start + length, device=images.device).clamp(0, whole - 1)
    return images.index_select(dim, places)

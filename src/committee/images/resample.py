"""Pixels of a variation from those of its canvas: a box resized, or any affine map."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_SMALL = 1024
"""Values of an image below which a call for each costs more than the products."""


def resize_boxes(images: Tensor, boxes: Tensor, flipped: Tensor, size: int) -> Tensor:
    """Cut a box out of each image and resize it: bilinear, antialiased, rounded to whole levels.

    Parameters
    ----------
    images : uint8 `[B, c, H, W]`
        On a CPU, two and a half times as fast where the colours are last in memory.
    boxes : int64 `[B, 4]`
        Top, left, height and width, in pixels.
    flipped : bool `[B]`
        Which are mirrored, left and right.
    size : int
        Side of the result, in pixels.

    Returns
    -------
    uint8 `[B, c, size, size]`
        On a CPU torch's own kernel for bytes, image by image; small images, and all on other devices, by
        products with matrices of weights, batch by batch. The two differ by a level at most.
    """
    if images.device.type == "cpu" and size * size * images.shape[1] > _SMALL:
        each = zip(images.split(1), boxes.tolist(), flipped.tolist(), strict=True)
        return torch.cat([_resize(image, box, mirrored, size) for image, box, mirrored in each])
    return _resize_by_weights(images, boxes, flipped, size)


def _resize(image: Tensor, box: list[int], mirrored: bool, size: int) -> Tensor:
    top, left, height, width = box
    piece = image[..., top : top + height, left : left + width]
    if mirrored:
        piece = piece.flip(-1)
    return functional.interpolate(piece, (size, size), mode="bilinear", antialias=True)


def _resize_by_weights(images: Tensor, boxes: Tensor, flipped: Tensor, size: int) -> Tensor:
    top, left, height, width = boxes.unbind(1)
    down, across = _weights(top, height, images.shape[2], size), _weights(left, width, images.shape[3], size)
    across = torch.where(flipped[:, None, None], across.flip(1), across)
    return whole(down[:, None] @ images.float() @ across.mT[:, None])


def _weights(start: Tensor, length: Tensor, side: int, size: int) -> Tensor:
    """Return how much each of `side` pixels adds to each of `size`, `[B, size, side]`."""
    steps = torch.arange(max(side, size), device=start.device) + 0.5
    start, scale = start[:, None], (length / size)[:, None]
    middle, place = start + steps[:size] * scale, steps[:side]
    inside = (place > start) & (place < start + length[:, None])
    weights = 1 - (place - middle[:, :, None]).abs() / scale.clamp(min=1)[:, :, None]
    weights = weights.clamp_(min=0) * inside[:, None]
    return weights / weights.sum(2, keepdim=True)


def warp(pixels: Tensor, maps: Tensor, size: int) -> Tensor:
    """Look up each output where an affine map of coordinates in -1..1 says; bilinear, mirrored at the border.

    Parameters
    ----------
    pixels : float32 `[B, c, S, S]`, in 0..255
    maps : float32 `[B, 3, 3]`
        From places in the result to places in `pixels`.
    size : int

    Returns
    -------
    uint8 `[B, c, size, size]`
    """
    return whole(
        functional.grid_sample(pixels, _grid(maps, size), padding_mode="reflection", align_corners=False)
    )


def _grid(maps: Tensor, size: int) -> Tensor:
    """Return `affine_grid` of maps `[B, 3, 3]`, three times as fast: each axis is a sum of two lines."""
    line = (torch.arange(size, device=maps.device) * 2 + 1) / size - 1
    along, down = maps[:, :2, 0:1] * line + maps[:, :2, 2:3], maps[:, :2, 1:2] * line
    grid = maps.new_empty(len(maps), size, size, 2)
    for axis in range(2):
        torch.add(along[:, axis, None, :], down[:, axis, :, None], out=grid[..., axis])
    return grid


def whole(pixels: Tensor) -> Tensor:
    """Return float32 pixels rounded to whole levels, uint8; they are overwritten."""
    return pixels.round_().clamp_(0, 255).to(torch.uint8)

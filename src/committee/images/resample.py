"""Resampling by affine maps from output to input positions, with coordinates in -1..1."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def resize(images: Tensor, maps: Tensor, size: int) -> Tensor:
    """Crop a box of each image and resize it (uint8, bilinear, antialiased).

    Parameters
    ----------
    images : uint8 `[B, c, S, S]`, on a CPU
        The channels-last memory format is more than twice as fast.
    maps : float32 `[B, 3, 3]`
        Boxes inside the images, without rotation or shear, rounded to whole pixels. A negative width
        mirrors horizontally.
    size : int
        Side of the result, in pixels.

    Returns
    -------
    uint8 `[B, c, size, size]`
    """
    side = images.shape[-1]
    lengths = (maps.diagonal(dim1=1, dim2=2)[:, :2].abs() * side).round().clamp(1, side)
    corners = ((maps[:, :2, 2] + 1) * (side / 2) - lengths / 2).round().clamp(min=0).minimum(side - lengths)
    boxes = torch.cat((corners, lengths), dim=1).int().tolist()
    mirrored = (maps[:, 0, 0] < 0).tolist()
    return torch.cat([_resize(*each, size) for each in zip(images.split(1), boxes, mirrored, strict=True)])


def _resize(image: Tensor, box: list[int], mirrored: bool, size: int) -> Tensor:
    left, top, width, height = box
    piece = image[..., top : top + height, left : left + width]
    if mirrored:
        piece = piece.flip(-1)
    return functional.interpolate(piece, (size, size), mode="bilinear", antialias=True)


def warp(pixels: Tensor, maps: Tensor, size: int) -> Tensor:
    """Sample each image at the positions given by its map (bilinear, reflected at the border).

    Parameters
    ----------
    pixels : float32 `[B, c, S, S]`, in 0..255
    maps : float32 `[B, 3, 3]`
        Affine maps.
    size : int
        Side of the result, in pixels.

    Returns
    -------
    uint8 `[B, c, size, size]`
    """
    grid = _grid(maps, size)
    return to_uint8(functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False))


def _grid(maps: Tensor, size: int) -> Tensor:
    """Return `affine_grid` of maps `[B, 3, 3]`; summing one row and one column is three times as fast."""
    line = (torch.arange(size, device=maps.device) * 2 + 1) / size - 1
    along, down = maps[:, :2, 0:1] * line + maps[:, :2, 2:3], maps[:, :2, 1:2] * line
    grid = maps.new_empty(len(maps), size, size, 2)
    for axis in range(2):
        torch.add(along[:, axis, None, :], down[:, axis, :, None], out=grid[..., axis])
    return grid


def to_uint8(pixels: Tensor) -> Tensor:
    """Round float32 pixels to uint8; the argument is overwritten."""
    return pixels.round_().clamp_(0, 255).to(torch.uint8)

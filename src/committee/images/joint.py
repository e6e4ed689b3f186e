"""Random crops of images together with their maps, for training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from committee.base.randomness import uniform
from committee.images import randaugment
from committee.images.augment import recolor
from committee.images.maps import IGNORED, Maps
from committee.images.resample import to_uint8
from committee.images.view import View
from committee.recipe.augment import Amounts

_DRAWS = 14
Center = Callable[[int, NDArray[np.float32]], tuple[int, int]]


@dataclass(frozen=True)
class Pairs:
    """Crops of images with the crops of their maps.

    Attributes
    ----------
    images : float32 tensor `[B, c, size, size]`
        Normalized.
    maps : int64 tensor `[B, size, size]`, or float32 `[B, T, size, size]`
        Labels of the pixels; those to ignore are -1, or NaN.
    """

    images: Tensor
    maps: Tensor


def crop_pairs(
    maps: Maps,
    rows: NDArray[np.int64],
    keys: NDArray[np.uint64],
    view: View,
    amounts: Amounts,
    seed: int,
    center: Center | None = None,
    device: torch.device | str = "cpu",
    layout: torch.memory_format = torch.contiguous_format,
) -> Pairs:
    """Cut a random square of each image and of its map, augment both alike, and recolor the image.

    Parameters
    ----------
    maps : Maps
    rows : int64 `[B]`
        Images, which may repeat.
    keys : uint64 `[B]`
        Key of each crop: draws depend on it and the seed, and not on the batch.
    view : View
        Its `size` is the side of the crops; an image that is smaller is continued by reflection, where its
        map is ignored.
    amounts : Amounts
        The augmentation. Squares of less than the full area are enlarged; labels are those of the nearest
        pixel.
    seed : int
        Seed of this member and epoch.
    center : callable, optional
        Returns a pixel (row, column) of an image, from two draws, that shall be in the crop. By default, all
        positions of the square are equally likely.
    device, layout : torch.device, torch.memory_format
        Of the result.

    See Also
    --------
    committee.images.augment.augment : The same for images with one label.
    """
    drawn = uniform(seed, keys, _DRAWS + randaugment.DRAWS)
    cut = [_cut(maps, row, view.size, draws, center) for row, draws in zip(rows.tolist(), drawn, strict=True)]
    pixels = torch.from_numpy(np.stack([each for each, _ in cut])).permute(0, 3, 1, 2).to(device)
    labels = torch.from_numpy(np.stack([each for _, each in cut])).to(device)
    labels = labels.long() if labels.ndim == 3 else labels.permute(0, 3, 1, 2)
    draws = torch.from_numpy(drawn).to(device).unbind(1)
    plan = randaugment.plan(draws[_DRAWS:], amounts.randaugment) if amounts.randaugment else None
    pixels, labels = _move(pixels, labels, amounts, draws, plan)
    pixels, labels = _turn(pixels, labels, amounts, draws)
    return Pairs(recolor(pixels, view, amounts, draws, plan, layout), labels)


def centers(maps: Maps, rows: NDArray[np.int64], size: int) -> Tensor:
    """Return the square in the center of each image, uint8 `[B, c, size, size]`, channels-last."""
    half = np.full(_DRAWS, 0.5, np.float32)
    squares = [_cut(maps, row, size, half, None)[0] for row in rows.tolist()]
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)


def _cut(
    maps: Maps, row: int, size: int, draws: NDArray[np.float32], center: Center | None
) -> tuple[NDArray[np.uint8], NDArray[np.int16] | NDArray[np.float32]]:
    """Return a square of an image `[size, size, c]`, and of its map."""
    sides = maps.sizes[row].tolist()
    wanted = (None, None) if center is None else center(row, draws[12:14])
    starts = [_start(*each, size) for each in zip(sides, draws[9:11].tolist(), wanted, strict=True)]
    window = tuple(slice(start, start + size) for start in starts)
    image, labels = np.array(maps.image(row)[window]), np.array(maps.map(row)[window])
    missing = [(0, size - length) for length in image.shape[:2]]
    if any(after for _, after in missing):
        image = np.pad(image, [*missing, (0, 0)], mode="symmetric")
        nothing = IGNORED if labels.dtype.kind == "i" else np.nan
        labels = np.pad(labels, [*missing, *[(0, 0)] * (labels.ndim - 2)], constant_values=nothing)
    return image, labels


def _start(length: int, draw: float, wanted: int | None, size: int) -> int:
    """Return the first pixel of a square along one axis; `wanted` is a pixel that it shall contain."""
    free = max(0, length - size)
    if wanted is None:
        return int(draw * (free + 1))
    return int(np.clip(wanted - int(draw * size), 0, free))


def _turn(
    pixels: Tensor, labels: Tensor, amounts: Amounts, draws: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    """Mirror and turn crops and labels, without resampling."""
    mirrored = draws[4] < (0.5 if amounts.flip else 0)
    turns = (4 * draws[11]).long() if amounts.turn else torch.zeros(len(pixels), dtype=torch.long)
    for number in range(len(pixels)):
        axes = [-1] if mirrored[number] else []
        if axes or turns[number]:
            pixels[number], labels[number] = (
                torch.rot90(each[number].flip(axes), int(turns[number]), (-2, -1)).clone()
                for each in (pixels, labels)
            )
    return pixels, labels


def _move(
    pixels: Tensor,
    labels: Tensor,
    amounts: Amounts,
    draws: tuple[Tensor, ...],
    plan: randaugment.Plan | None,
) -> tuple[Tensor, Tensor]:
    """Enlarge, rotate, shear and translate crops with one resampling; outside, both are reflected."""
    smallest = amounts.random_resized_crop
    if smallest == 1 and plan is None:
        return pixels.contiguous(), labels.contiguous()
    side = (smallest + (1 - smallest) * draws[0]).sqrt()
    x, y = ((1 - side) * (2 * draw - 1) for draw in (draws[2], draws[3]))
    none = torch.zeros_like(side)
    affine = randaugment.affine(side, none, x, none, side, y)
    affine = affine if plan is None else affine @ plan.geometry
    grid = functional.affine_grid(affine[:, :2], list(pixels.shape), align_corners=False)
    moved = functional.grid_sample(pixels.float(), grid, "bilinear", "reflection", align_corners=False)
    whole = labels.double()[:, None] if labels.ndim == 3 else labels
    nearest = functional.grid_sample(
        whole, grid.to(whole.dtype), "nearest", "reflection", align_corners=False
    )
    return to_uint8(moved), nearest[:, 0].long() if labels.ndim == 3 else nearest

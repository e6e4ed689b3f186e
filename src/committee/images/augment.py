"""Variations of training images: each sample draws its own, by seed and id, not by its place in a batch."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from committee.images import randaugment
from committee.images.enhance import jitter
from committee.images.view import Fit, canvas_size, centre, frame
from committee.randomness import uniform
from committee.recipe.training import Augment

ASPECT = 4 / 3
_DRAWS = 8


def augment(
    images: Tensor, keys: NDArray[np.uint64], size: int, settings: Augment, seed: int, *, fit: Fit = "crop"
) -> Tensor:
    """Vary a batch of canvases.

    Parameters
    ----------
    images : uint8 `[B, c, S, S]`
    keys : uint64 `[B]`
        `randomness.sample_keys` of the samples.
    size : int
        Side of the result, in pixels.
    settings : recipe section `training.augment`
        With everything off the result is what the member's view cuts.
    seed : int
        Of this member and epoch.
    fit : "crop", "squash" or "pad"
        Of the member's view.

    Returns
    -------
    float32 `[B, c, size, size]`, in 0..255

    Notes
    -----
    Crop, rotation, shear, shift and flip are one resampling, not one each. Random resized crop: Szegedy et
    al., Going Deeper with Convolutions (2015); RandAugment: Cubuk et al. (2020).
    """
    drawn = uniform(seed, keys, _DRAWS + randaugment.DRAWS)
    draws = torch.from_numpy(drawn).to(images.device).unbind(1)
    plan = randaugment.plan(draws[_DRAWS:], settings.randaugment) if settings.randaugment else None
    pixels = frame(images, canvas_size(size, fit), fit)
    flipped = draws[4] < (0.5 if settings.flip else 0)
    if settings.random_resized_crop < 1 or plan is not None:
        window = _window(pixels, size, settings.random_resized_crop, draws[:4])
        pixels = _resample(pixels, size, window if plan is None else window @ plan.geometry, flipped)
    else:
        pixels = centre(pixels, size)
        pixels[flipped] = pixels[flipped].flip(-1)
    if settings.color_jitter:
        pixels = jitter(pixels, *(1 + settings.color_jitter * (2 * draw - 1) for draw in draws[5:8]))
    return pixels if plan is None else plan.recolour(pixels)


def _window(pixels: Tensor, size: int, smallest: float, draws: tuple[Tensor, ...]) -> Tensor:
    """Return where each output looks, as affine maps `[B, 3, 3]` on coordinates in -1..1."""
    area, aspect, across, down = draws
    share = torch.full_like(area, size / pixels.shape[-1])
    width = height = share
    x = y = torch.zeros_like(area)
    if smallest < 1:
        side = (smallest + (1 - smallest) * area).sqrt()
        stretch = torch.exp((aspect - 0.5) * math.log(ASPECT))
        width, height = (side * stretch).clamp(max=1), (side / stretch).clamp(max=1)
        x, y = (1 - width) * (2 * across - 1), (1 - height) * (2 * down - 1)
    return randaugment.affine(width, torch.zeros_like(x), x, torch.zeros_like(x), height, y)


def _resample(pixels: Tensor, size: int, maps: Tensor, flipped: Tensor) -> Tensor:
    maps[:, :, 0] *= torch.where(flipped, -1, 1)[:, None]
    grid = _grid(maps, size)
    return functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def _grid(maps: Tensor, size: int) -> Tensor:
    """Return `affine_grid` of maps `[B, 3, 3]`, three times as fast: each axis is a sum of two lines."""
    line = (torch.arange(size, device=maps.device) * 2 + 1) / size - 1
    along, down = maps[:, :2, 0:1] * line + maps[:, :2, 2:3], maps[:, :2, 1:2] * line
    grid = maps.new_empty(len(maps), size, size, 2)
    for axis in range(2):
        torch.add(along[:, axis, None, :], down[:, axis, :, None], out=grid[..., axis])
    return grid

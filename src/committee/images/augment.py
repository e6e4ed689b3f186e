"""Variations of training images: each sample draws its own, by seed and id, not by its place in a batch."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.base.randomness import uniform
from committee.images import randaugment
from committee.images.enhance import jitter
from committee.images.resample import resize, warp, whole
from committee.images.view import View, canvas_size, frame
from committee.recipe.training import Augment

ASPECT = 4 / 3
_DRAWS = 8
_SMALL = 32
"""Side of images up to which a call for each costs more than looking up all of them, in pixels."""


def augment(
    images: Tensor,
    keys: NDArray[np.uint64],
    view: View,
    settings: Augment,
    seed: int,
    layout: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Vary a batch of canvases, as a member's view would show them.

    Parameters
    ----------
    images : uint8 `[B, c, S, S]`
        Fastest with the colors last in memory, as the cache has them.
    keys : uint64 `[B]`
        `randomness.sample_keys` of the samples.
    view : View
        Of the member. With everything off the result is `view(images)`.
    settings : recipe section `training.augment`
    seed : int
        Of this member and epoch.
    layout : torch.memory_format
        Of the result.

    Returns
    -------
    float32 `[B, c, view.size, view.size]`, normalized

    Notes
    -----
    Crop and flip are one resampling from bytes to bytes; where RandAugment rotates, shears or shifts, that is
    part of it. Color jitter and normalization are one change of colors. Random resized crop: Szegedy et
    al., Going Deeper with Convolutions (2015); RandAugment: Cubuk et al. (2020).
    """
    drawn = uniform(seed, keys, _DRAWS + randaugment.DRAWS)
    draws = torch.from_numpy(drawn).to(images.device).unbind(1)
    plan = randaugment.plan(draws[_DRAWS:], settings.randaugment) if settings.randaugment else None
    pixels = _place(images, view, settings, draws, plan)
    factors = 1 + settings.color_jitter * (2 * torch.stack(draws[5:8]) - 1)
    if plan is not None:
        # Its operations are fast where the colors lie apart.
        varied = pixels.to(torch.float32, memory_format=torch.contiguous_format)
        varied = jitter(varied, factors) if settings.color_jitter else varied
        return view.normalize(whole(plan.recolor(varied)), layout)
    if settings.color_jitter:
        return jitter(pixels, factors, view, layout)
    return view.normalize(pixels, layout)


def _place(
    images: Tensor, view: View, settings: Augment, draws: tuple[Tensor, ...], plan: randaugment.Plan | None
) -> Tensor:
    """Return the pixels where each sample shows them, before any change of color."""
    flipped = draws[4] < (0.5 if settings.flip else 0)
    if settings.random_resized_crop == 1 and plan is None:
        return _mirror(view.cut(images), flipped.nonzero()[:, 0])
    maps = _window(view, settings.random_resized_crop, draws[:4])
    maps = maps if plan is None else maps @ plan.geometry
    maps[:, :, 0] *= torch.where(flipped, -1, 1)[:, None]
    if images.device.type != "cpu" or view.size <= _SMALL:
        return _warp(images, maps, view)
    pixels = resize(images, maps, view.size)
    if plan is not None and len(moved := plan.moved.nonzero()[:, 0]):
        rows = images.permute(0, 2, 3, 1).index_select(0, moved).permute(0, 3, 1, 2)
        pixels = pixels.contiguous().index_copy_(0, moved, _warp(rows, maps[moved], view))
    return pixels


def _mirror(images: Tensor, rows: Tensor) -> Tensor:
    """Return images of which some are mirrored, left and right."""
    pixels = images.permute(0, 2, 3, 1)
    return pixels.index_copy(0, rows, pixels.index_select(0, rows).flip(2)).permute(0, 3, 1, 2)


def _window(view: View, smallest: float, draws: tuple[Tensor, ...]) -> Tensor:
    """Return which box of its canvas each sample shows, as maps `[B, 3, 3]`."""
    area, aspect, across, down = draws
    width = height = torch.full_like(area, view.size / canvas_size(view.size, view.fit))
    x = y = torch.zeros_like(area)
    if smallest < 1:
        side = (smallest + (1 - smallest) * area).sqrt()
        stretch = torch.exp((aspect - 0.5) * math.log(ASPECT))
        width, height = (side * stretch).clamp(max=1), (side / stretch).clamp(max=1)
        x, y = (1 - width) * (2 * across - 1), (1 - height) * (2 * down - 1)
    return randaugment.affine(width, torch.zeros_like(x), x, torch.zeros_like(x), height, y)


def _warp(images: Tensor, maps: Tensor, view: View) -> Tensor:
    canvas = frame(images, canvas_size(view.size, view.fit), view.fit)
    return warp(canvas.to(torch.float32, memory_format=torch.contiguous_format), maps, view.size)

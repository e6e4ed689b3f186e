"""Variations of training images: each sample draws its own, by seed and id, not by its place in a batch."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.images import randaugment
from committee.images.enhance import jitter
from committee.images.resample import resize_boxes, warp, whole
from committee.images.view import View, canvas_size, frame
from committee.randomness import uniform
from committee.recipe.training import Augment

ASPECT = 4 / 3
_DRAWS = 8


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
        Fastest with the colours last in memory, as the cache has them.
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
    float32 `[B, c, view.size, view.size]`, normalised

    Notes
    -----
    Crop and flip are one resampling from bytes to bytes; where RandAugment rotates, shears or shifts, that is
    part of it. Colour jitter and normalisation are one change of colours. Random resized crop: Szegedy et
    al., Going Deeper with Convolutions (2015); RandAugment: Cubuk et al. (2020).
    """
    drawn = uniform(seed, keys, _DRAWS + randaugment.DRAWS)
    draws = torch.from_numpy(drawn).to(images.device).unbind(1)
    plan = randaugment.plan(draws[_DRAWS:], settings.randaugment) if settings.randaugment else None
    pixels = _place(images, view, settings, draws, plan)
    factors = 1 + settings.color_jitter * (2 * torch.stack(draws[5:8]) - 1)
    if plan is not None:
        # Its operations are fast where the colours lie apart.
        pixels = whole(plan.recolour(jitter(pixels.contiguous(), factors)))
    pixels = pixels.contiguous(memory_format=layout)
    if settings.color_jitter and plan is None:
        return jitter(pixels, factors, view)
    return view.normalise(pixels)


def _place(
    images: Tensor, view: View, settings: Augment, draws: tuple[Tensor, ...], plan: randaugment.Plan | None
) -> Tensor:
    """Return the pixels where each sample shows them, before any change of colour."""
    flipped = draws[4] < (0.5 if settings.flip else 0)
    side = images.shape[-1]
    if settings.random_resized_crop == 1 and plan is None and side != canvas_size(view.size, view.fit):
        pixels = view.cut(images)  # not rounded to whole levels: exactly what the view shows
        return torch.where(flipped[:, None, None, None], pixels.flip(-1), pixels)
    boxes = _boxes(side, view, settings.random_resized_crop, draws[:4])
    pixels = resize_boxes(images, boxes, flipped, view.size)
    if plan is not None and len(rows := plan.moved.nonzero()[:, 0]):
        pixels = pixels.contiguous().index_copy_(0, rows, _move(images, view, boxes, flipped, plan, rows))
    return pixels


def _boxes(side: int, view: View, smallest: float, draws: tuple[Tensor, ...]) -> Tensor:
    """Return what each sample shows of its canvas: top, left, height and width in pixels, int64 `[B, 4]`."""
    area, aspect, across, down = draws
    if smallest == 1:
        part = view.size / canvas_size(view.size, view.fit)
        lengths = torch.full((len(area), 2), max(1, round(part * side)), device=area.device)
        return torch.cat(((side - lengths) // 2, lengths), dim=1)
    share = (smallest + (1 - smallest) * area).sqrt()
    stretch = torch.exp((aspect - 0.5) * math.log(ASPECT))
    lengths = (torch.stack((share / stretch, share * stretch), dim=1) * side).round().clamp(1, side)
    room = side - lengths
    corners = (torch.stack((down, across), dim=1) * (room + 1)).floor().minimum(room)
    return torch.cat((corners, lengths), dim=1).long()


def _move(
    images: Tensor, view: View, boxes: Tensor, flipped: Tensor, plan: randaugment.Plan, rows: Tensor
) -> Tensor:
    """Rotate, shear and shift some rows: from their canvas, since a crop has lost what comes into view."""
    top, left, height, width = (boxes[rows] * (2 / images.shape[-1])).unbind(1)
    zero = torch.zeros_like(top)
    window = randaugment.affine(width / 2, zero, left + width / 2 - 1, zero, height / 2, top + height / 2 - 1)
    maps = window @ plan.geometry[rows]
    maps[:, :, 0] *= torch.where(flipped[rows], -1, 1)[:, None]
    moved = images.permute(0, 2, 3, 1).index_select(0, rows).permute(0, 3, 1, 2)
    canvas = frame(moved, canvas_size(view.size, view.fit), view.fit).float().contiguous()
    return warp(canvas, maps, view.size)

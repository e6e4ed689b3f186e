"""Random augmentation of training images; draws depend on seed and sample id, not on the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.base.randomness import uniform
from committee.images import randaugment
from committee.images.enhance import jitter
from committee.images.resample import resize, to_uint8, warp
from committee.images.view import View, canvas_size, frame
from committee.recipe.augment import Amounts

ASPECT = 4 / 3
_DRAWS = 9
_SMALL = 32
"""Largest side in pixels of images for which resampling the whole batch is faster than resizing each."""


def augment(
    images: Tensor,
    keys: NDArray[np.uint64],
    view: View,
    amounts: Amounts,
    seed: int,
    layout: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Augment a batch of canvases and apply the member's preprocessing.

    Parameters
    ----------
    images : uint8 `[B, c, S, S]`
        Canvases of the cache. The channels-last memory format is fastest.
    keys : uint64 `[B]`
        `randomness.sample_keys` of the samples.
    view : View
        Preprocessing of the member. With all augmentation disabled, the result is `view(images)`.
    amounts : Amounts
        The operations and their strengths.
    seed : int
        Seed of this member and epoch.
    layout : torch.memory_format
        Memory format of the result.

    Returns
    -------
    float32 `[B, c, view.size, view.size]`, normalized

    Notes
    -----
    Crop, flip, and the rotations, shears and translations of RandAugment are one resampling from uint8 to
    uint8. Color jitter and normalization are one linear map of colors. Random resized crop: Szegedy et al.,
    Going Deeper with Convolutions (2015); RandAugment: Cubuk et al. (2020).

    See Also
    --------
    committee.images.view.View : The same preprocessing without augmentation.

    Examples
    --------
    >>> import torch
    >>> from committee.base.randomness import sample_keys
    >>> from committee.images.augment import augment
    >>> from committee.images.view import View
    >>> from committee.recipe.augment import PRESETS
    >>> images = torch.zeros(2, 3, 37, 37, dtype=torch.uint8)
    >>> augment(images, sample_keys(["a", "b"]), View(32), PRESETS["mild"], seed=0).shape
    torch.Size([2, 3, 32, 32])
    """
    if amounts.change_nothing:
        return view.normalize(view.cut(images), layout)
    count = _DRAWS + randaugment.DRAWS + 1 if amounts.randaugment or amounts.turn else _DRAWS
    draws = torch.from_numpy(uniform(seed, keys, count)).to(images.device).unbind(1)
    plan = randaugment.plan(draws[_DRAWS:-1], amounts.randaugment) if amounts.randaugment else None
    pixels = _place(images, view, amounts, draws, plan)
    if amounts.turn:
        pixels = _turn(pixels, (4 * draws[-1]).long())
    return recolor(pixels, view, amounts, draws, plan, layout)


def recolor(
    pixels: Tensor,
    view: View,
    amounts: Amounts,
    draws: Sequence[Tensor],
    plan: randaugment.Plan | None,
    layout: torch.memory_format,
) -> Tensor:
    """Apply the part of the augmentation that changes colors, and normalize.

    Parameters
    ----------
    pixels : uint8 `[B, c, size, size]`
    view, amounts, layout
        As for `augment`.
    draws : sequence of float32 `[B]`
        Number 5 to 8 are used.
    plan : randaugment.Plan or None

    Returns
    -------
    float32 `[B, c, size, size]`
    """
    factors = 1 + amounts.color_jitter * (2 * torch.stack(list(draws[5:8])) - 1)
    turns = amounts.hue * (2 * draws[8] - 1)
    jittered = bool(amounts.color_jitter or (amounts.hue and view.channels == 3))
    if plan is not None:
        # The operations of RandAugment are faster with contiguous channels.
        varied = pixels.to(torch.float32, memory_format=torch.contiguous_format)
        varied = jitter(varied, factors, turns) if jittered else varied
        return view.normalize(to_uint8(plan.recolor(varied)), layout)
    if jittered:
        return jitter(pixels, factors, turns, view, layout)
    return view.normalize(pixels, layout)


def _place(
    images: Tensor, view: View, amounts: Amounts, draws: Sequence[Tensor], plan: randaugment.Plan | None
) -> Tensor:
    """Apply the geometric part of the augmentation."""
    flipped = draws[4] < (0.5 if amounts.flip else 0)
    if amounts.random_resized_crop == 1 and plan is None:
        return _mirror(view.cut(images), flipped)
    maps = _window(view, amounts.random_resized_crop, draws[:4])
    maps = maps if plan is None else maps @ plan.geometry
    maps[:, :, 0] *= torch.where(flipped, -1, 1)[:, None]
    if images.device.type != "cpu" or view.size <= _SMALL:
        return _warp(images, maps, view)
    pixels = resize(images, maps, view.size)
    if plan is not None and len(moved := plan.moved.nonzero()[:, 0]):
        rows = images.permute(0, 2, 3, 1).index_select(0, moved).permute(0, 3, 1, 2)
        pixels = pixels.contiguous().index_copy_(0, moved, _warp(rows, maps[moved], view))
    return pixels


def _turn(images: Tensor, turns: Tensor) -> Tensor:
    """Turn each image by its number of quarters, int64 `[B]`, counterclockwise; a GPU is not waited for."""
    turned = images
    for quarters in (1, 2, 3):
        chosen = (turns == quarters)[:, None, None, None]
        turned = torch.where(chosen, torch.rot90(images, quarters, (2, 3)), turned)
    return turned


def _mirror(images: Tensor, flipped: Tensor) -> Tensor:
    """Mirror the images that are `flipped`, bool `[B]`, horizontally; a GPU is not waited for."""
    if images.device.type != "cpu":
        return torch.where(flipped[:, None, None, None], images.flip(3), images)
    pixels, rows = images.permute(0, 2, 3, 1), flipped.nonzero()[:, 0]
    return pixels.index_copy(0, rows, pixels.index_select(0, rows).flip(2)).permute(0, 3, 1, 2)


def _window(view: View, smallest: float, draws: Sequence[Tensor]) -> Tensor:
    """Return the box that is cut from each canvas, as affine maps `[B, 3, 3]`.

    The share of the area is uniform between `smallest` and 1, and the aspect ratio log-uniform among those of
    3/4 to 4/3 with which a box of this area fits into the canvas. torchvision draws both again until the box
    fits, and keeps the whole image after ten draws.
    """
    share, aspect, across, down = draws
    width = height = torch.full_like(share, view.size / canvas_size(view.size, view.fit))
    x = y = torch.zeros_like(share)
    if smallest < 1:
        area = smallest + (1 - smallest) * share
        widest = (-area.log()).clamp(max=math.log(ASPECT))
        stretch = torch.exp(widest * (aspect - 0.5))
        width, height = area.sqrt() * stretch, area.sqrt() / stretch
        x, y = (1 - width) * (2 * across - 1), (1 - height) * (2 * down - 1)
    return randaugment.affine(width, torch.zeros_like(x), x, torch.zeros_like(x), height, y)


def _warp(images: Tensor, maps: Tensor, view: View) -> Tensor:
    canvas = frame(images, canvas_size(view.size, view.fit), view.fit)
    return warp(canvas.to(torch.float32, memory_format=torch.contiguous_format), maps, view.size)

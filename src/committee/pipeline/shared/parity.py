"""Comparison of an exported file with its module, on real images of several sizes and batches."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from committee.errors import ExportError
from committee.exporters.base import TOLERANCE
from committee.exporters.shared.fixed_tiles import in_fixed_tiles
from committee.models.agreement import rows_of
from committee.models.predictor import Images, Predictor
from committee.predictions.target_types import target_type_of


def several_sizes(images: Sequence[Images]) -> list[Images]:
    """Return batches of several shapes: two of several images, one of odd size, and single images.

    Parameters
    ----------
    images : sequence of uint8 arrays `[c, H, W]`, one or more
        Real images.
    """
    high, wide = (min(image.shape[axis] for image in images) for axis in (1, 2))
    batch = np.stack([image[:, :high, :wide] for image in [*images, images[0]]])
    odd = images[-1].repeat(3, axis=1).repeat(2, axis=2)[:, :-1, :-1]
    flat = batch[:, :, : max(2, high * 2 // 3)]
    return [batch, flat, odd[None], *(image[None] for image in images)]


def check_parity(
    reference: Predictor,
    exported: Predictor,
    batches: Sequence[Images],
    who: str,
    tolerance: float = TOLERANCE,
) -> dict[str, Any]:
    """Compare what an exported file predicts with what its module predicts.

    Of maps, all pixels are compared. Where a file takes images of one size only, the module predicts the same
    tiles.

    Parameters
    ----------
    reference : Predictor
        The module.
    exported : Predictor
        The opened file.
    batches : sequence of uint8 arrays `[B, c, H, W]`
        Real images, such as those of `several_sizes`.
    who : str
        Name of the file in the error.
    tolerance : float
        Largest difference of a probability; of numbers, relative to the larger of the standard deviation of
        the target, if the module knows it, and the root mean square of the values of the module.

    Returns
    -------
    dict
        `max_abs_diff` of the probabilities or relative numbers, and the `shapes` of the compared batches. Of
        maps of classes also `same_class`, the share of the pixels with the same most probable class.

    Raises
    ------
    ExportError
        A probability differs by more than `tolerance`, or the most probable class differs (classes whose
        probabilities are within `tolerance` of each other are interchangeable).
    """
    target_type, largest, tile = target_type_of(reference), 0.0, getattr(exported, "tile", 0)
    expected = partial(in_fixed_tiles, reference, tile=tile) if tile else reference
    answers = [rows_of(expected(images)) for images in batches]
    units = target_type.units(np.concatenate(answers), getattr(reference, "spread", ()))
    stds = getattr(getattr(reference, "module", None), "has_variance", False)
    found = []
    for images, ours in zip(batches, answers, strict=True):
        theirs = rows_of(exported(images))
        difference = float((np.abs(ours - theirs) / units).max()) if ours.shape == theirs.shape else np.inf
        if not difference <= tolerance or not target_type.agree(ours, theirs, tolerance):
            raise _differs(who, target_type.within.format(f"{tolerance:g}"), difference, images)
        if stds:
            apart = np.abs(_total_std(reference, images) - _total_std(exported, images)) / units
            difference = max(difference, float(apart.max()))
            if not difference <= tolerance:
                raise _differs(who, target_type.within.format(f"{tolerance:g}"), difference, images)
        largest = max(largest, difference)
        found.append(theirs)
    return {
        "max_abs_diff": largest,
        "shapes": ["x".join(map(str, images.shape)) for images in batches],
        **target_type.share(np.concatenate(answers), np.concatenate(found)),
    }


def _total_std(model: Any, images: Images) -> Any:
    """Return the standard deviations of the numbers of images, `[B, T]`."""
    return np.sqrt(np.square(model.spread_of(images)[..., 1:]).sum(axis=-1))


def _differs(who: str, expected: str, difference: float, images: Images) -> ExportError:
    return ExportError(
        who,
        expected=expected,
        got=f"a difference of {difference:.2g} on images {list(images.shape)}",
        todo="The file was not kept: use another format, and report the backbone.",
    )

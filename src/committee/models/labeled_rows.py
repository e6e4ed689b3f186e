"""Predictions of the members of an ensemble for labeled images in memory, for fitting a combiner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.errors import DataError
from committee.images.maps import Maps
from committee.images.points import sample_points
from committee.models._images import axes_of, channels_of, image_batches, labeled_batches
from committee.models.not_finite import require_finite_inputs
from committee.predictions.table import Predictions
from committee.tasks.base import Task

PIXELS = 4096
"""Pixels of an image, at most; see `sample_points`."""


def labeled_rows(
    ensemble: Any, images: Any, labels: Any, labels_are: str | None, device: torch.device
) -> Predictions:
    """Return the outputs of the members of an ensemble for labeled images; see `Ensemble.predictions`."""
    target_type, axes = ensemble.task.target_type, axes_of(ensemble)
    batches = labeled_batches(ensemble.name, images, labels, channels_of(ensemble), target_type, axes)
    outputs_of = ensemble.member_moments if ensemble.has_variance else ensemble.member_logits
    found = [(outputs_of(part.to(device)).cpu(), own) for part, own in batches]
    if not found:
        raise DataError(ensemble.name, expected="batches of (images, labels)", got="an empty loader")
    logits = torch.cat([outputs for outputs, _ in found], 1).numpy()
    names = ensemble.class_names or tuple(map(str, range(logits.shape[2])))
    rest = {"labels": np.concatenate([own for _, own in found]), "labels_are": labels_are}
    if labels is not None and not np.isfinite(logits).all():
        require_finite_inputs(f"{ensemble.name}: inputs", images, channels_of(ensemble))
    rows: Predictions = ensemble.task.predictions(logits, ensemble.names, names, **rest, who=ensemble.name)
    return rows


def pixel_rows(ensemble: Any, images: Any, masks: Any, device: torch.device) -> Predictions:
    """Return the outputs of the members of an ensemble for a sample of pixels, whose group is their image.

    Parameters
    ----------
    ensemble : Ensemble
        Of members that predict maps, in evaluation mode.
    images : tensor or array [N, c, H, W], sequence of images, or iterable
        Images, which may differ in size. Without `masks`, an iterable of pairs: an image or a batch of
        images, and its mask or masks.
    masks : sequence [N], optional
        The class of each pixel, int `[H, W]`, negative where it is ignored; or its numbers, float `[H, W]` or
        `[H, W, T]`, NaN where they are ignored.
    device : torch.device

    Raises
    ------
    DataError
        There are no images, a mask has another size than its image, or no pixel has a label.
    """
    who, task, names = ensemble.name, ensemble.task, ensemble.class_names
    pairs = list(_pairs(who, images, masks, channels_of(ensemble)))
    if not pairs:
        raise DataError(who, expected="images with masks", got="none")
    values = [_values(who, task, len(names), image, mask) for image, mask in pairs]
    sizes = np.array([image.shape[1:] for image, _ in pairs], np.int64)
    flat = np.concatenate([each.reshape(-1, *each.shape[2:]) for each in values])
    targets = flat.shape[1] if flat.ndim == 2 else 0
    maps = Maps(np.empty(0, np.uint8), flat.ravel(), sizes, 1, targets)
    ids = np.arange(len(pairs)).astype(np.str_)
    points = sample_points(maps, ids, np.stack([_counts(each, len(names)) for each in values]), PIXELS)
    if not len(points.row):
        raise DataError(who, expected="pixels with a label", got="none in all masks")
    parts = []
    for row, (image, _) in enumerate(pairs):
        outputs = ensemble.member_logits(image[None].to(device))[:, 0].flatten(2)
        pixels = torch.from_numpy(points.pixel[points.row == row]).to(device)
        parts.append(outputs[:, :, pixels].movedim(2, 1).cpu())
    table = points.table(maps, ids, np.zeros(len(ids), np.int64), None)
    found: Predictions = task.predictions(
        torch.cat(parts, 1).numpy(),
        ensemble.names,
        names,
        sample_ids=table.ids,
        labels=table.labels,
        groups=table.groups,
        who=who,
        **task.target_type.as_stored,
    )
    return found


def _pairs(who: str, images: Any, masks: Any, channels: int) -> Iterable[tuple[Tensor, NDArray[Any]]]:
    """Yield each image, uint8 `[c, H, W]`, with its mask."""
    if masks is not None:
        if len(images) != len(masks):
            raise DataError(who, expected=f"{len(images)} masks, one for each image", got=str(len(masks)))
        yield from _singles(images, masks, channels)
        return
    for item in images:
        if not (isinstance(item, tuple | list) and len(item) == 2):
            raise DataError(
                who,
                expected="pairs of images and masks",
                got=type(item).__name__,
                todo="Pass arrays: fit(images, masks).",
            )
        image, mask = item
        batched = getattr(image, "ndim", 0) == 4
        yield from _singles(image, mask, channels) if batched else _singles([image], [mask], channels)


def _singles(images: Any, masks: Sequence[Any], channels: int) -> Iterable[tuple[Tensor, NDArray[Any]]]:
    batches = image_batches(images, channels, 1)
    for batch, mask in zip(batches, masks, strict=True):
        yield batch[0], np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask)


def _values(who: str, task: Task, outputs: int, image: Tensor, mask: NDArray[Any]) -> NDArray[Any]:
    """Return a mask as it is stored: int16 `[H, W]`, or float32 `[H, W, T]`."""
    numbers = mask.dtype.kind == "f"
    wanted = np.issubdtype(task.target_type.dtype, np.floating)
    if mask.shape[:2] != tuple(image.shape[1:]) or numbers != wanted:
        raise DataError(
            who,
            expected=f"a mask of {'floating-point' if wanted else 'whole'} numbers of the size of its image, "
            f"{list(image.shape[1:])}",
            got=f"{mask.dtype} {list(mask.shape)}",
        )
    if numbers:
        return mask.astype(np.float32).reshape(*mask.shape[:2], -1)
    classes = mask.astype(np.int64)
    largest = classes.max(initial=-1)
    if largest >= outputs:
        raise DataError(
            who,
            expected=f"classes from 0 to {outputs - 1} in a mask, and -1 where it is ignored",
            got=str(largest),
            todo=f"If {largest} means no label: numpy.where(mask == {largest}, -1, mask.astype(int)).",
        )
    return np.maximum(classes, -1).astype(np.int16)


def _counts(values: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Return the number of pixels of each class, or of pixels with numbers, of one mask."""
    if values.ndim == 3:
        return np.array([np.isfinite(values).all(axis=2).sum()])
    return np.bincount(values[values >= 0], minlength=classes).astype(np.int64)

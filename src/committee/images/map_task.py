"""Whether the masks of samples contain classes or numbers, and how their values are read."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from committee.base.text import count
from committee.errors import DataError, UsageError, first_five
from committee.images.mask_classes import declared
from committee.images.masks import Header, MaskError, Masks, header_of
from committee.images.readers.base import Samples
from committee.predictions.target_types import CLASS_MAPS, NUMBER_MAPS, TargetType
from committee.recipe.dataset import Dataset as Settings
from committee.tasks.base import task_for

log = logging.getLogger(__name__)

EXAMINED = 100
"""Masks whose headers are read to tell classes from numbers."""
GIVE = (
    "folders images/ and masks/, a table with columns path and mask and without label, or arrays images and "
    "masks."
)
CONVERT = (
    "Replace each color by the number of its class, and save the numbers as PNG with one channel: "
    "numpy.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True) lists and numbers the colors."
)


def with_map_task(samples: Samples, settings: Settings, wanted: TargetType | None) -> Samples:
    """Return samples with masks whose values are read as the task of a recipe needs them.

    Parameters
    ----------
    samples : Samples
        With masks, as a reader returns them.
    settings : recipe.dataset.Dataset
    wanted : TargetType or None
        What the recipe or the store says that labels are; None follows from the masks: whole numbers are
        classes.

    Raises
    ------
    UsageError
        The task is one of labels of images, or a setting does not apply to it.
    DataError
        A mask is damaged, has colors, or the numbers of its pixels are no classes.
    """
    assert samples.masks is not None
    if wanted is not None and not wanted.dense:
        tasks = " or ".join(task_for(each).key for each in (CLASS_MAPS, NUMBER_MAPS))
        raise UsageError(
            "dataset.task",
            expected=f"{tasks}, since there is a mask for each image",
            got=task_for(wanted).key,
            todo="Set dataset.task=auto, or give labels of images in place of masks.",
        )
    _check_fit(settings)
    header = _header(samples.masks, samples.ids)
    floating = header.dtype.kind == "f"
    kind = wanted or (NUMBER_MAPS if floating else CLASS_MAPS)
    if wanted is None:
        log.info("masks contain %s: the task is %s", _what(header), task_for(kind).key)
    read = _numbers if np.issubdtype(kind.dtype, np.floating) else _classes
    masks = read(samples.masks, settings, header, task_for(kind).key)
    names = masks.targets or tuple(dict.fromkeys(masks.classes.values()))
    return replace(samples, class_names=names, target_type=kind, masks=masks)


def check_no_maps(settings: Settings, wanted: TargetType | None) -> None:
    """Raise UsageError for a task or a setting of masks in the recipe of a data set without masks."""
    keys = [key for key in ("class_names", "ignore") if getattr(settings, key) is not None]
    if wanted is not None and wanted.dense:
        keys.append("task")
    if settings.fit == "native":
        keys.append("fit")
    if keys:
        raise UsageError(
            f"dataset.{keys[-1]}",
            expected=f"a mask for each image, for {getattr(settings, keys[-1])}",
            got="labels of images",
            todo=f"Remove it, or give {GIVE}",
        )


def _check_fit(settings: Settings) -> None:
    if settings.fit not in ("auto", "native"):
        raise UsageError(
            "dataset.fit",
            expected="native or auto, since images with masks keep their size",
            got=settings.fit,
            todo="Remove it; dataset.img_size is the size of the crops for training.",
        )


def _header(masks: Masks, ids: list[str]) -> Header:
    """Return what the masks contain, by the first of them; broken ones are skipped if some are good."""
    broken: list[MaskError] = []
    found: dict[str, Header] = {}
    rows = range(min(len(ids), 1 if isinstance(masks.sources, np.ndarray) else EXAMINED))
    for row in rows:
        name = masks.name(row, ids[row])
        try:
            found.setdefault(name, header_of(masks.sources[row], name))
        except MaskError as error:
            if error.has_colors:
                raise DataError(name, expected=error.expected, got=error.got, todo=CONVERT) from error
            broken.append(error)
    if not found:
        raise broken[0]
    (first, header), *others = found.items()
    for name, other in others:
        if (other.dtype.kind == "f", other.targets) != (header.dtype.kind == "f", header.targets):
            raise DataError(
                "masks",
                expected="the same kind of values in all masks",
                got=f"{_what(header)} in {first}, {_what(other)} in {name}",
                todo="Save all masks alike.",
            )
    return header


def _what(header: Header) -> str:
    of_pixel = f", {header.targets} of a pixel" if header.targets > 1 else ""
    return ("floating-point numbers" if header.dtype.kind == "f" else "whole numbers") + of_pixel


def _numbers(masks: Masks, settings: Settings, header: Header, task: str) -> Masks:
    if settings.class_names is not None:
        raise UsageError(
            "dataset.class_names",
            expected=f"no classes for the task {task}",
            got=first_five(settings.class_names),
            todo="Remove it, or name the numbers with dataset.targets.",
        )
    number = header.targets
    targets = masks.targets or (["value"] if number == 1 else [f"value_{each}" for each in range(number)])
    if len(targets) != number:
        raise UsageError(
            "dataset.targets",
            expected=f"{count(number, 'name')}, one for each number of a pixel",
            got=first_five(targets),
        )
    return replace(masks, targets=tuple(targets), ignore=settings.ignore)


def _classes(masks: Masks, settings: Settings, header: Header, task: str) -> Masks:
    if header.dtype.kind == "f":
        raise DataError(
            "masks",
            expected=f"whole numbers for the task {task}: the class of each pixel",
            got=_what(header),
            todo="Save them with a type of whole numbers, such as uint8, or set dataset.task="
            f"{task_for(NUMBER_MAPS).key}.",
        )
    if masks.targets:
        raise UsageError(
            "dataset.targets",
            expected=f"no targets for the task {task}",
            got=first_five(masks.targets),
            todo=f"Remove dataset.targets, or set dataset.task={task_for(NUMBER_MAPS).key}.",
        )
    return replace(masks, classes=declared(settings, masks), ignore=settings.ignore)

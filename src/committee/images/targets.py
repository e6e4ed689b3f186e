"""Whether the labels of samples are classes or numbers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from committee.errors import DataError, UsageError, first_five, nearest
from committee.images.map_task import check_no_maps, with_map_task
from committee.images.numbers import as_number, numbers
from committee.images.readers.base import Samples
from committee.predictions.target_types import CLASSES, NUMBERS, TargetType
from committee.recipe.dataset import Dataset as Settings
from committee.tasks.base import TASKS, task_for

log = logging.getLogger(__name__)

MANY = 20
"""Different whole numbers, of which more are unlikely to be classes if most occur once."""

LARGEST = 1e30
"""Largest target: squared errors of standardized numbers and of predictions stay finite."""


def with_task(samples: Samples, settings: Settings, known: TargetType | None = None) -> Samples:
    """Return samples whose labels are those of the task of a recipe.

    Parameters
    ----------
    samples : Samples
        As a reader returns them: with classes, or with the numbers of named targets.
    settings : recipe.dataset.Dataset
    known : TargetType, optional
        What the labels of the store's data set are, for `task: auto`.

    Raises
    ------
    UsageError
        The recipe names targets and a task without numbers, or the unit of another target.
    DataError
        A label is not a number or too large, all numbers of a target are equal, or labels may be classes or
        numbers.
    """
    wanted = known if settings.task == "auto" else TASKS.make(settings.task).target_type
    if samples.masks is not None:
        found = with_map_task(samples, settings, wanted)
        check_units(found.masks.targets if found.masks else (), settings)
        return found
    check_no_maps(settings, wanted)
    if isinstance(samples.labels, np.ndarray):
        if wanted not in (None, samples.target_type):
            raise UsageError(
                "dataset.targets",
                expected=f"no targets for the task {settings.task}",
                got=first_five(samples.class_names),
                todo=f"Remove dataset.targets, or set dataset.task={task_for(samples.target_type).key}.",
            )
        return _checked(samples, settings)
    if (wanted or _inferred(samples.labels)).everywhere:
        return samples
    if all(as_number(label) is None for label in samples.labels):
        raise DataError(
            "labels",
            expected=f"numbers for the task {task_for(NUMBERS).key}",
            got=f"text: {first_five(sorted(set(samples.labels)))}",
            todo="Set dataset.targets to the columns of numbers, or dataset.task=classification.",
        )
    values = numbers({"label": samples.labels}, samples.ids, "labels")
    return _checked(replace(samples, labels=values, class_names=("label",), target_type=NUMBERS), settings)


def _inferred(labels: list[str]) -> TargetType:
    """Return what labels are: text is classes, decimals that hardly repeat are numbers."""
    values = [as_number(label) for label in labels]
    if any(value is None for value in values):
        return CLASSES
    whole = all(value is not None and value.is_integer() for value in values)
    mostly_different = len(set(labels)) > len(labels) / 2
    if whole and not (mostly_different and len(set(labels)) > MANY):
        return CLASSES
    if whole or not mostly_different:
        raise DataError(
            "labels",
            expected="text, or numbers that are clearly classes or clearly not",
            got=f"{len(set(labels))} different numbers in {len(labels)} rows, such as {_examples(labels)}",
            todo="Set dataset.task=classification if each number is a class, or dataset.task=regression to "
            "predict the number.",
        )
    key = task_for(NUMBERS).key
    log.info("labels are numbers, such as %s: the task is %s", _examples(labels), key)
    return NUMBERS


def _examples(labels: list[str]) -> str:
    return ", ".join(list(dict.fromkeys(labels))[:3])


def check_units(targets: Sequence[str], settings: Settings) -> None:
    """Raise UsageError for the unit of something that is no target."""
    unknown = [name for name in settings.units if name not in targets]
    if unknown:
        raise UsageError(
            "dataset.units",
            expected=f"names of targets: {first_five(targets) or 'there are none'}",
            got=first_five(unknown),
            todo=nearest(unknown[0], targets),
        )


def _checked(samples: Samples, settings: Settings) -> Samples:
    check_units(samples.class_names, settings)
    large = np.abs(samples.values).max(axis=0) > LARGEST
    if large.any():
        raise DataError(
            f"targets: {first_five(np.array(samples.class_names)[large].tolist())}",
            expected=f"numbers between -{LARGEST:g} and {LARGEST:g}, since networks compute in float32",
            got=f"{samples.values[:, large].flat[np.abs(samples.values[:, large]).argmax()]:g}",
            todo="Give them in a larger unit.",
        )
    constant = [
        name
        for name, spread in zip(samples.class_names, np.ptp(samples.values, axis=0), strict=True)
        if not spread
    ]
    if constant:
        raise DataError(
            f"targets: {first_five(constant)}",
            expected="numbers that differ",
            got="the same number in all rows",
            todo="There is nothing to predict: leave the target out.",
        )
    return samples

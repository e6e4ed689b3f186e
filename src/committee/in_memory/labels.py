"""Labels of several splits: positions of classes, or numbers, and the names of the outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from committee.base.text import wrong_rows
from committee.errors import DataError, UsageError, first_five
from committee.in_memory.target_guess import guess, plain
from committee.predictions.target_types import CLASSES, NUMBERS, TargetType

TASKS = {"classification": CLASSES, "regression": NUMBERS}


class Labels(NamedTuple):
    """What labels are, the names of the outputs, and the labels of all splits, in their order."""

    type: TargetType
    names: tuple[str, ...]
    values: NDArray[Any]


def read_labels(
    splits: Mapping[str, NDArray[Any]],
    task: str | None,
    class_names: Sequence[str] | None,
    target_names: Sequence[str] | None,
) -> Labels:
    """Return the labels of splits, of which the first one is that of training.

    Raises
    ------
    UsageError
        There is no such task.
    DataError
        The labels cannot be those of the task.
    """
    if task is not None and task not in TASKS:
        raise UsageError("task", expected=f"one of {', '.join(TASKS)}", got=repr(task))
    for who, names in (("class_names", class_names), ("target_names", target_names)):
        if names is not None and not isinstance(names, Iterable):
            raise UsageError(who, expected="a sequence of names", got=repr(names))
    splits = {name: plain(name, labels) for name, labels in splits.items()}
    if task is not None:
        type_ = TASKS[task]
    elif target_names is not None or class_names is not None:
        type_ = CLASSES if target_names is None else NUMBERS
    else:
        type_ = guess(next(iter(splits.values())))
    found = _numbers(splits, target_names) if type_ is NUMBERS else _classes(splits, class_names)
    twice = [name for name in found.names if found.names.count(name) > 1]
    if twice:
        raise UsageError(f"{type_.output}_names", expected="distinct names", got=f"'{twice[0]}' twice")
    return found


def _classes(splits: Mapping[str, NDArray[Any]], class_names: Sequence[str] | None) -> Labels:
    given = {name: _column(name, labels) for name, labels in splits.items()}
    train = next(iter(given.values()))
    known = np.unique(train) if class_names is None else np.array(list(map(str, class_names)))
    positions = class_names is not None and train.dtype.kind in "iub"
    if len(known) < 2:
        raise DataError(
            "train: y", expected="labels of at least two classes", got=f"one class, {first_five(known)}"
        )
    names = tuple(str(name) for name in known)
    parts = [
        _checked_positions(who, labels, len(names)) if positions else _found(who, labels, known)
        for who, labels in given.items()
    ]
    return Labels(CLASSES, names, np.concatenate(parts).astype(np.int64))


def _column(who: str, labels: NDArray[Any]) -> NDArray[Any]:
    """Return classes as an array `[N]` of names or of whole numbers."""
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1:
        todo = (
            "Give the class of each row: y.argmax(1). If they are numbers, say so: task='regression'."
            if labels.ndim == 2
            else ""
        )
        raise DataError(
            f"{who}: y", expected="one class for each row", got=f"an array {list(labels.shape)}", todo=todo
        )
    if labels.dtype.kind == "f":
        whole = labels == np.round(labels)
        if not whole.all():
            raise DataError(f"{who}: y", expected="classes", got=f"fractions or NaN{wrong_rows(whole)}")
        return labels.astype(np.int64)
    return labels


def _found(who: str, labels: NDArray[Any], known: NDArray[Any]) -> NDArray[np.int64]:
    """Return the positions of labels among the known ones."""
    order = np.argsort(known)
    place = np.searchsorted(known, labels, sorter=order).clip(max=len(known) - 1)
    found: NDArray[np.int64] = order[place]
    unknown = np.unique(labels[known[found] != labels])
    if len(unknown):
        raise DataError(f"{who}: y", expected=f"the classes {first_five(known)}", got=first_five(unknown))
    return found


def _checked_positions(who: str, labels: NDArray[Any], classes: int) -> NDArray[Any]:
    outside = np.unique(labels[(labels < 0) | (labels >= classes)])
    if len(outside):
        raise DataError(
            f"{who}: y", expected=f"positions of classes, from 0 to {classes - 1}", got=first_five(outside)
        )
    return labels


def _numbers(splits: Mapping[str, NDArray[Any]], target_names: Sequence[str] | None) -> Labels:
    train = next(iter(splits.values()))
    targets = 1 if train.ndim == 1 else train.shape[1]
    default = ["target"] if targets == 1 else [f"target_{number}" for number in range(1, targets + 1)]
    names = tuple(map(str, default if target_names is None else target_names))
    parts = [NUMBERS.column(labels, len(labels), names, f"{who}: y", None) for who, labels in splits.items()]
    return Labels(NUMBERS, names, np.concatenate([part for part in parts if part is not None]))

"""What labels are where nobody says so, and a sentence where this may be wrong."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.base.text import count, wrong_rows
from committee.errors import DataError
from committee.predictions.target_types import CLASSES, NUMBERS, TargetType

log = logging.getLogger(__name__)
TOLERANCE = 1e-3
"""Largest distance from 1 of the sum of shares."""


def guess(labels: NDArray[Any]) -> TargetType:
    """Return what labels of training rows are: numbers of a floating type, or classes.

    A reading that may be wrong is said in the log, with the argument that decides.

    Raises
    ------
    DataError
        The rows are shares of classes, such as one-hot classes, which have two readings.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.in_memory.target_guess import guess
    >>> guess(np.array([0.5, 2.25])).name, guess(np.array(["cat", "dog"])).name
    ('numbers', 'classes')
    """
    distinct = len(np.unique(labels))
    if labels.dtype.kind != "f":
        if distinct > max(2, len(labels) / 2):
            _say(labels, distinct, "classes", "numbers", "regression")
        return CLASSES
    if are_shares(labels):
        raise DataError(
            "train: y",
            expected="classes [N], or numbers",
            got=f"an array {list(labels.shape)} whose rows are shares that sum to 1, as one-hot classes are",
            todo="Of classes, give that of each row: y.argmax(1); to predict the shares as numbers, say so: "
            "task='regression'.",
        )
    if distinct <= len(labels) / 2 and (labels == np.round(labels)).all():
        _say(labels, distinct, "numbers", "classes", "classification")
    return NUMBERS


def are_shares(labels: NDArray[Any]) -> bool:
    """Return whether the rows of an array `[N, C]` are one-hot classes or probabilities of classes."""
    if labels.ndim != 2 or labels.shape[1] < 2:
        return False
    return bool((labels >= 0).all() and (np.abs(labels.sum(axis=1) - 1) <= TOLERANCE).all())


def plain(who: str, labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels of any type as numbers, truth values or text; `who` is the name of their split.

    Raises
    ------
    DataError
        A label is missing, or labels are of several types, or of another one.
    """
    if labels.dtype.kind == "O":
        labels = _of_objects(who, labels)
    if labels.dtype.kind not in "fiubUS":
        raise DataError(f"{who}: y", expected="classes or numbers", got=f"an array of {labels.dtype}")
    return np.char.decode(labels, "utf-8") if labels.dtype.kind == "S" else labels


def _of_objects(who: str, labels: NDArray[Any]) -> NDArray[Any]:
    known = np.array([not _is_missing(each) for each in labels.ravel()]).reshape(labels.shape)
    if not known.all():
        raise DataError(
            f"{who}: y",
            expected="a label for each row",
            got=f"None or NaN{wrong_rows(known)}",
            todo="Leave out the rows without a label.",
        )
    text = [isinstance(each, str | bytes) for each in labels.ravel()]
    if any(text) and not all(text):
        kinds = sorted({type(each).__name__ for each in labels.ravel()})
        raise DataError(
            f"{who}: y",
            expected="labels of one type",
            got=" and ".join(kinds),
            todo="Convert them: y.astype(str).",
        )
    try:
        return np.array(labels.tolist())
    except ValueError:
        raise DataError(
            f"{who}: y", expected="one label for each row", got="lists of several lengths"
        ) from None


def _is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN, or the missing value of pandas."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or bool(value != value)


def _say(labels: NDArray[Any], distinct: int, are: str, others: str, task: str) -> None:
    kind = "text" if labels.dtype.kind == "U" else str(labels.dtype)
    log.warning(
        "train: y has %s in %d rows of type %s, and is read as %s. If they are %s, say so: task='%s'.",
        count(distinct, "distinct value"),
        len(labels),
        kind,
        are,
        others,
        task,
    )

"""What the labels of samples are: classes, or numbers; and all that differs between the two as data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.errors import DataError, first_five
from committee.predictions.checks import check_labels
from committee.predictions.names import class_indices, label_column
from committee.predictions.probabilities import check_logits

BINS = 10
"""Largest number of strata of numeric targets."""
ROWS_A_BIN = 10
Labels = NDArray[Any]


class TargetType(ABC):
    """What labels are, and what outputs are accepted for them.

    Attributes
    ----------
    name : str
        Name in stored files.
    output, outputs : str
        What one output of a row belongs to, and several, for error messages.
    least : int
        Smallest number of outputs.

    See Also
    --------
    committee.tasks.base.Task : What is done with outputs of a type.
    """

    name: ClassVar[str]
    output: ClassVar[str]
    outputs: ClassVar[str]
    least: ClassVar[int]

    @abstractmethod
    def check_outputs(self, outputs: NDArray[np.float32], who: str) -> None:
        """Raise a DataError for outputs `[M, N, C, ...]` that are of another kind."""

    @abstractmethod
    def column(
        self, labels: ArrayLike | None, rows: int, names: Sequence[str], who: str, labels_are: str | None
    ) -> Labels | None:
        """Return labels that were given with the outputs, checked; `names` are those of the outputs."""

    @abstractmethod
    def match(self, labels: ArrayLike, names: Sequence[str], who: str, labels_are: str) -> Labels:
        """Return the labels of a table of labels, checked."""

    @abstractmethod
    def stored(self, labels: Labels | None, rows: int, outputs: int, who: str) -> Labels | None:
        """Return labels that were read from a file of this package, checked."""

    @abstractmethod
    def reorder(self, labels: Labels, picked: NDArray[np.int64]) -> Labels:
        """Return labels for outputs of which `picked` are the earlier positions."""

    @abstractmethod
    def strata(self, labels: Labels) -> NDArray[np.int64]:
        """Return the stratum of each row, int64 `[N]`: folds get about the same share of each."""


class _Classes(TargetType):
    """Labels are indices of classes, int64 `[N]`; outputs are logits `[M, N, C]` of at least two classes."""

    name = "classes"
    output, outputs = "class", "classes"
    least = 2

    def check_outputs(self, outputs: NDArray[np.float32], who: str) -> None:
        check_logits(outputs, who)

    def column(
        self, labels: ArrayLike | None, rows: int, names: Sequence[str], who: str, labels_are: str | None
    ) -> Labels | None:
        return label_column(labels, rows, names, who, labels_are)

    def match(self, labels: ArrayLike, names: Sequence[str], who: str, labels_are: str) -> Labels:
        return class_indices(labels, names, who, labels_are)

    def stored(self, labels: Labels | None, rows: int, outputs: int, who: str) -> Labels | None:
        return check_labels(labels, rows, outputs, who)

    def reorder(self, labels: Labels, picked: NDArray[np.int64]) -> Labels:
        order: Labels = np.argsort(picked)[labels]
        return order

    def strata(self, labels: Labels) -> NDArray[np.int64]:
        return labels


class _Numbers(TargetType):
    """Labels are numbers, float64 `[N, T]`; outputs are values `[M, N, T]` in the unit of their target."""

    name = "numbers"
    output, outputs = "target", "targets"
    least = 1

    def check_outputs(self, outputs: NDArray[np.float32], who: str) -> None:
        """Accept all finite numbers."""

    def column(
        self, labels: ArrayLike | None, rows: int, names: Sequence[str], who: str, labels_are: str | None
    ) -> Labels | None:
        return None if labels is None else self._numbers(labels, rows, len(names), who)

    def match(self, labels: ArrayLike, names: Sequence[str], who: str, labels_are: str) -> Labels:
        return self._numbers(labels, len(np.asarray(labels)), len(names), who)

    def stored(self, labels: Labels | None, rows: int, outputs: int, who: str) -> Labels | None:
        return None if labels is None else self._numbers(labels, rows, outputs, who)

    def reorder(self, labels: Labels, picked: NDArray[np.int64]) -> Labels:
        return labels[:, picked]

    def strata(self, labels: Labels) -> NDArray[np.int64]:
        """Return bins of about equal numbers of rows of the first target; equal values share a bin."""
        first = labels[:, 0]
        bins = int(np.clip(len(first) // ROWS_A_BIN, 1, BINS))
        edges = np.unique(np.quantile(first, np.linspace(0, 1, bins + 1)[1:-1]))
        return np.searchsorted(edges, first, side="right").astype(np.int64)

    @staticmethod
    def _numbers(labels: ArrayLike, rows: int, targets: int, who: str) -> Labels:
        try:
            array = np.asarray(labels, np.float64)
        except (TypeError, ValueError):
            wrong = [
                value for value in np.ravel(np.asarray(labels, object)).tolist() if not _is_number(value)
            ]
            raise DataError(who, expected="numbers", got=first_five(map(repr, wrong))) from None
        array = array[:, None] if array.ndim == 1 else array
        if array.shape != (rows, targets):
            raise DataError(
                who,
                expected=f"an array [{rows}, {targets}], one number for each row and target",
                got=str(list(array.shape)),
            )
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
        if len(bad):
            raise DataError(
                who,
                expected="a finite number for each row and target",
                got=f"NaN or infinity in {len(bad)} of {rows} rows, the first of which is row {bad[0] + 1}",
                todo="Leave out the rows without a value.",
            )
        return array


CLASSES: TargetType = _Classes()
NUMBERS: TargetType = _Numbers()
TARGET_TYPES = {each.name: each for each in (CLASSES, NUMBERS)}


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True

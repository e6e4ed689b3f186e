"""What the labels of samples are: classes, or numbers; and all that differs between the two as data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.base.text import wrong_rows
from committee.errors import DataError, first_five
from committee.predictions.checks import check_labels
from committee.predictions.names import class_indices, label_column
from committee.predictions.probabilities import FLOOR, check_logits, log_of

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
    answers : str
        What models return for images: the name of the output of exported files, and of entries of JSON.

    within : str
        How a file agrees with its module within a tolerance, for messages.
    everywhere : bool
        Whether each stratum must be in the training split and in several folds.
    as_stored : mapping
        Argument of `Predictions.from_logits` for labels of a data set, which are indices of classes.
    dtype : type
        Type of labels: that of whole numbers, or of floating-point numbers.
    missing : float
        Label of an image without one, where it is used as well: -1, or NaN.
    dense : bool
        Whether there is a label for each pixel of an image. Predictions then are those of a sample of pixels.

    See Also
    --------
    committee.tasks.base.Task : What is done with outputs of a type.
    """

    name: ClassVar[str]
    output: ClassVar[str]
    outputs: ClassVar[str]
    least: ClassVar[int]
    answers: ClassVar[str]
    within: ClassVar[str]
    everywhere: ClassVar[bool]
    dtype: ClassVar[type[np.generic]]
    as_stored: ClassVar[Mapping[str, str]] = {}
    missing: ClassVar[float] = -1
    dense: ClassVar[bool] = False

    @property
    def of_rows(self) -> TargetType:
        """The type of a row of predictions: of maps, that of a pixel."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the name: there is one instance of each type in a process."""
        return _of_name, (self.name,)

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
    def units(self, answers: NDArray[Any], spread: Sequence[float]) -> NDArray[np.float64]:
        """Return the size `[C]` by which differences of answers `[N, C]` are divided before comparing them.

        `spread` is the standard deviation of each target, if it is known.
        """

    @abstractmethod
    def agree(self, ours: NDArray[Any], theirs: NDArray[Any], tolerance: float) -> bool:
        """Return whether answers `[N, C]` within a tolerance of each other lead to the same decisions."""

    def share(self, ours: NDArray[Any], theirs: NDArray[Any]) -> dict[str, float]:
        """Return what a report says of answers `[N, C]` that are compared, beside the largest difference."""
        return {}

    @abstractmethod
    def mean(self, outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the mean `[M, N, C]` of outputs of several networks, as outputs."""

    @abstractmethod
    def from_answers(self, answers: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what a file returns, `[N, C]`, as outputs: log-probabilities, or numbers."""

    @abstractmethod
    def standardization(self, labels: Labels) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each number; nothing for classes."""

    @abstractmethod
    def strata(self, labels: Labels) -> NDArray[np.int64]:
        """Return the stratum of each row, int64 `[N]`: folds get about the same share of each."""


class _Classes(TargetType):
    """Labels are indices of classes, int64 `[N]`; outputs are logits `[M, N, C]` of at least two classes."""

    name = "classes"
    output, outputs = "class", "classes"
    least = 2
    answers = "probabilities"
    within = "probabilities within {} of the module's and the same top class"
    everywhere = True
    dtype = np.int64
    as_stored: ClassVar[Mapping[str, str]] = {"labels_are": "positions"}

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

    def units(self, answers: NDArray[Any], spread: Sequence[float]) -> NDArray[np.float64]:
        return np.ones(answers.shape[1])

    def agree(self, ours: NDArray[Any], theirs: NDArray[Any], tolerance: float) -> bool:
        """Return whether the top classes are the same; those within the tolerance are interchangeable."""
        picked = np.take_along_axis(ours, theirs.argmax(1)[:, None], 1)[:, 0]
        return not (picked < ours.max(1) - tolerance).any()

    def mean(self, outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the logarithm of the mean probability."""
        from scipy.special import softmax  # takes 0.1 s

        found = np.mean([softmax(each, axis=2) for each in outputs], axis=0)
        logs: NDArray[np.float32] = np.log(np.maximum(found, FLOOR)).astype(np.float32)
        return logs

    def from_answers(self, answers: NDArray[np.float32]) -> NDArray[np.float32]:
        return log_of(answers / answers.sum(1, keepdims=True))

    def standardization(self, labels: Labels) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return (), ()

    def strata(self, labels: Labels) -> NDArray[np.int64]:
        return labels


class _Numbers(TargetType):
    """Labels are numbers, float64 `[N, T]`; outputs are values `[M, N, T]` in the unit of their target."""

    name = "numbers"
    output, outputs = "target", "targets"
    least = 1
    answers = "values"
    within = "values within {} of the module's, relative to their size"
    everywhere = False
    dtype = np.float64
    missing = float("nan")

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

    def units(self, answers: NDArray[Any], spread: Sequence[float]) -> NDArray[np.float64]:
        """Return the larger of the standard deviation of each target and the root mean square of its values.

        Values are rounded in proportion to the one, and the network that is scaled to them to the other.
        """
        size = np.sqrt(np.square(np.asarray(answers, np.float64)).mean(axis=0))
        size = np.maximum(size, spread) if len(spread) else size
        return np.where(size > 0, size, 1.0)

    def agree(self, ours: NDArray[Any], theirs: NDArray[Any], tolerance: float) -> bool:
        return True

    def mean(self, outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the mean number."""
        return np.stack(outputs).mean(axis=0, dtype=np.float64).astype(np.float32)

    def from_answers(self, answers: NDArray[np.float32]) -> NDArray[np.float32]:
        return answers

    def standardization(self, labels: Labels) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each target; the latter is 1 for a constant one."""
        spread = labels.std(axis=0)
        return tuple(labels.mean(axis=0).tolist()), tuple(np.where(spread > 0, spread, 1.0).tolist())

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
        finite = np.isfinite(array)
        if not finite.all():
            raise DataError(
                who,
                expected="a finite number for each row and target",
                got=f"NaN or infinity{wrong_rows(finite)}",
                todo="Leave out the rows without a value.",
            )
        return array


CLASSES: TargetType = _Classes()
NUMBERS: TargetType = _Numbers()


class _ClassMaps(_Classes):
    """Labels of pixels are indices of classes; the label of an image, in splits, is its rarest class."""

    name = "class_maps"
    everywhere = False
    dense = True

    def share(self, ours: NDArray[Any], theirs: NDArray[Any]) -> dict[str, float]:
        """Return the share of the pixels with the same most probable class."""
        return {"same_class": float((ours.argmax(1) == theirs.argmax(1)).mean())}

    @property
    def of_rows(self) -> TargetType:
        return CLASSES


class _NumberMaps(_Numbers):
    """Labels of pixels are numbers; the label of an image, in splits, is a bin of their mean, int64 `[N]`."""

    name = "number_maps"
    dense = True

    @property
    def of_rows(self) -> TargetType:
        return NUMBERS

    def strata(self, labels: Labels) -> NDArray[np.int64]:
        """Return labels of images as they are, and bins of numbers of pixels; see the base class."""
        return labels if labels.ndim == 1 else super().strata(labels)

    def standardization(self, labels: Labels) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return those of numbers of pixels; nothing for labels of images, in a preview without pixels."""
        return ((), ()) if labels.ndim == 1 else super().standardization(labels)


CLASS_MAPS: TargetType = _ClassMaps()
NUMBER_MAPS: TargetType = _NumberMaps()
TARGET_TYPES = {each.name: each for each in (CLASSES, NUMBERS, CLASS_MAPS, NUMBER_MAPS)}


def _of_name(name: str) -> TargetType:
    return TARGET_TYPES[name]


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def target_type_of(model: object) -> TargetType:
    """Return what a model predicts: the type of its `task`, or its `target_type`; classes by default.

    Predictors of exported files have a type and no task, since tasks import torch.
    """
    task = getattr(model, "task", None)
    found: TargetType = getattr(model, "target_type", CLASSES) if task is None else task.target_type
    return found

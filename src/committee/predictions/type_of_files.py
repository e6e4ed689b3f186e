"""Whether prediction files are about classes or numbers, where no option and no name of an array says it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.base.quiet import quiet
from committee.errors import UsageError, first_five
from committee.predictions.files.base import Table, is_saved, read_table
from committee.predictions.reading import DEFAULT, Reading
from committee.predictions.table import Predictions
from committee.predictions.target_types import CLASSES, NUMBERS, TargetType
from committee.predictions.targets import floats

log = logging.getLogger(__name__)

_READERS = "committee.predictions.files._columns"
_NEAR = 0.05
"""Largest distance of the sums of rows from 1 at which they are taken for probabilities."""


def type_of(path: Path, labels: Path | None = None, reading: Reading = DEFAULT) -> TargetType:
    """Return what the labels of files are.

    Parameters
    ----------
    path : Path
        The predictions of one model.
    labels : Path, optional
        A file of labels; by default, they are in `path`.
    reading : Reading
        What the caller knows; its `target_type` decides.

    Raises
    ------
    UsageError
        Labels and predictions can be read in both ways.

    Notes
    -----
    Labels with fractions are numbers; text is a class; whole numbers are classes beside probabilities, and
    numbers beside one column that is no probability of the classes 0 and 1. The log names the reason for
    numbers.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from committee.predictions.type_of_files import type_of
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "forest.csv"
    ...     _ = path.write_text("id,age,label\\nx,31.5,30\\ny,47.25,52\\n")
    ...     type_of(path).name
    'numbers'
    """
    if reading.target_type is not None:
        return reading.target_type
    if reading.is_of_classes:
        return CLASSES
    if is_saved(path):
        return Predictions.load(path).target_type
    with quiet(_READERS):  # the files are read again, and say then what they leave out
        table = read_table(path, reading)
        if table.target_type is not None:
            return table.target_type
        if table.values is None or (labels is None and table.labels is None):  # in the names of classes
            table = read_table(path, replace(reading, target_type=NUMBERS))
        of_labels = table if labels is None else read_table(labels, reading, labels_only=True)
    scores = _Scores.of(table)
    if labels is None and table.labels is None and table.is_probability and not scores.are_probabilities:
        raise UsageError(
            str(path),
            expected="labels beside scores that are no probabilities",
            got=f"none, beside {scores.spread}",
            todo="Name a file with the columns id and label: --labels FILE. Numbers are read with "
            "--task regression, and logits with --values-are logits.",
        )
    return _decided(scores, _Labels.of(of_labels, table), str(labels or path))


@dataclass(frozen=True)
class _Labels:
    """What labels look like: their values, and whether they have a column for each of several scores."""

    values: NDArray[np.float64]
    are_text: bool
    are_names: bool
    are_several: bool

    @classmethod
    def of(cls, labels: Table, scores: Table) -> _Labels:
        columns = dict(labels.further)
        several = len(scores.columns) > 1 and all(name in columns for name in scores.columns)
        if labels.labels is not None:
            several = several or labels.labels.ndim == 2
            columns = {labels.label_column: labels.labels}
        elif named := [name for name in scores.columns if name in columns]:
            columns = {name: columns[name] for name in named}
        numbers = {name: found for name, each in columns.items() if (found := _numbers(each)) is not None}
        values = np.concatenate([each.ravel() for each in numbers.values()]) if numbers else np.empty(0)
        names = set() if scores.classes is None or len(scores.classes) < 2 else set(scores.classes.tolist())
        texts = {str(each) for column in columns.values() for each in np.ravel(column).tolist()}
        return cls(np.unique(values), not numbers, bool(texts) and texts <= names, several)

    @property
    def have_fractions(self) -> bool:
        return bool((self.values != np.trunc(self.values)).any())

    @property
    def are_binary(self) -> bool:
        return {*self.values.tolist()} <= {0.0, 1.0}


@dataclass(frozen=True)
class _Scores:
    """What scores look like: their number, whether rows sum to 1 or 100, and the range."""

    columns: int
    sum_to_one: bool
    low: float
    high: float

    @classmethod
    def of(cls, table: Table) -> _Scores:
        values = np.zeros((1, 1)) if table.values is None else np.asarray(table.values, np.float64)
        sums = values.sum(axis=1)
        near = [(np.abs(sums / total - 1) <= _NEAR).all() for total in (1, 100)]
        sum_to_one = values.shape[1] > 1 and values.min() >= 0 and any(near)
        return cls(values.shape[1], bool(sum_to_one), float(values.min()), float(values.max()))

    @property
    def are_binary(self) -> bool:
        """Whether one column may be the probability of the class 1, or a percentage."""
        return self.columns == 1 and self.low >= 0 and (self.high <= 1 or 1.5 < self.high <= 100)

    @property
    def are_probabilities(self) -> bool:
        """Whether rows may be probabilities."""
        return self.sum_to_one or self.are_binary

    @property
    def spread(self) -> str:
        """The number of columns and their range in words."""
        columns = "one column" if self.columns == 1 else f"{self.columns} columns"
        return f"{columns} of predictions from {self.low:.4g} to {self.high:.4g}"


def _decided(scores: _Scores, labels: _Labels, who: str) -> TargetType:
    if labels.are_text or labels.are_names or (scores.sum_to_one and not labels.are_several):
        return CLASSES
    if scores.sum_to_one:
        raise _doubt(who, "a column for each score", "rows that sum to 1")
    if labels.are_several:
        return _numbers_because(who, "they have a column for each target")
    if labels.have_fractions:
        return _numbers_because(who, "they have fractions")
    if scores.columns > 1 or (labels.are_binary and scores.are_binary):
        return CLASSES
    if labels.are_binary or (scores.low >= 0 and scores.high <= 1):
        raise _doubt(
            who, f"whole numbers, {first_five(f'{value:g}' for value in labels.values)}", scores.spread
        )
    return _numbers_because(who, f"they are whole numbers beside {scores.spread}")


def _numbers_because(who: str, reason: str) -> TargetType:
    log.info(
        "%s: labels are read as numbers (regression), since %s; --task classification reads classes",
        who,
        reason,
    )
    return NUMBERS


def _doubt(who: str, labels: str, scores: str) -> UsageError:
    return UsageError(
        who,
        expected="labels that are clearly classes or numbers",
        got=f"{labels}, beside {scores}",
        todo="Say what is predicted: --task classification (scores are probabilities, or logits with "
        "--values-are logits) or --task regression (numbers); task= in Python.",
    )


def _numbers(column: NDArray[Any]) -> NDArray[np.float64] | None:
    """Return the finite numbers of a column, or None if it is text: text beside whole numbers is names."""
    cells = np.ravel(column)
    cells = cells[cells != ""] if cells.dtype.kind == "U" else cells
    numbers = floats(cells)
    known = numbers[np.isfinite(numbers)]
    are_names = len(known) < len(numbers) and (known == np.trunc(known)).all()
    return None if are_names or not known.size else known

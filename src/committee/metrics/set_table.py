"""Thresholds of prediction sets for any coverage. This module imports neither torch nor scipy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.base.limits import require_some
from committee.errors import DataError
from committee.metrics.conformal import (
    EVERYTHING,
    METHODS,
    Floats,
    check_coverage,
    check_method,
    class_thresholds,
    label_scores,
    thresholds,
)

LEVELS = 1000
CLASS_COVERAGES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.98, 0.99, 0.995, 0.999)
CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
MIN_GROUPS = 19
"""Smallest number of groups whose hierarchical sets with a coverage of 0.95 are not all classes."""
_OF_ROWS = tuple(method for method in METHODS if method != "classwise")


@dataclass(frozen=True)
class SetTable:
    """Thresholds of prediction sets for any coverage, computed from calibration rows.

    Attributes
    ----------
    n : int
        Number of calibration rows.
    rows : str
        Source of the calibration rows: `val` (held out) or `oof` (out of fold).
    other_fits : bool
        Whether the calibration rows were predicted by other fits than those that are deployed.
    groups : int or None
        Number of groups of dependent calibration rows; None for independent rows. With at least 19 groups,
        the thresholds are those of groups (see `threshold`); fewer groups are treated as independent rows.
    thresholds : mapping of str to list of float or None
        By method, the thresholds for the coverages k/1000, k from 1 to 999; None admits all classes.
    by_class : list of list of float
        For each class, its thresholds of the method `classwise` for the first of `CLASS_COVERAGES`; after
        them, the class is in each set.
    abstain : list of mapping
        For each `confidence`: the share of rows `answered`, whose highest probability reaches it, and their
        `accuracy`, None if there are no such rows.

    See Also
    --------
    sets : The prediction sets for a threshold.
    threshold : The threshold for one coverage.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import SetTable, sets
    >>> log_probs = np.log(np.array([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1]]).repeat(50, axis=0))
    >>> table = SetTable.of(log_probs, np.zeros(100, int), rows="val", approximate=False)
    >>> table.note
    'calibrated on 100 rows that no model was fitted on'
    >>> sets(log_probs[[0, 99]], table.limit(0.9, "lac"), "lac").tolist()
    [[True, False, False], [True, True, False]]
    """

    n: int
    rows: str
    other_fits: bool
    groups: int | None
    thresholds: Mapping[str, Sequence[float | None]]
    by_class: Sequence[Sequence[float]]
    abstain: Sequence[Mapping[str, float | None]]

    @classmethod
    def of(
        cls,
        log_probs: NDArray[np.floating],
        labels: NDArray[np.int64],
        *,
        rows: str,
        approximate: bool,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Compute the table from calibration rows.

        Parameters
        ----------
        log_probs : float array [N, C]
        labels : int64 array [N]
        rows : str
            Source of the rows.
        approximate : bool
            Whether other fits than the deployed ones predicted them.
        groups : array [N], optional
            Groups of dependent rows.
        """
        number = None if groups is None else len(np.unique(groups))
        units = groups if number is not None and number >= MIN_GROUPS else None
        levels = np.arange(1, LEVELS) / LEVELS
        scores = {method: label_scores(log_probs, labels, method) for method in _OF_ROWS}
        found = {method: _finite(thresholds(scores[method], levels.tolist(), units)) for method in _OF_ROWS}
        by_class = class_thresholds(scores["lac"], labels, log_probs.shape[1], CLASS_COVERAGES)
        finite = [each[np.isfinite(each)].tolist() for each in by_class]
        return cls(len(labels), rows, approximate, number, found, finite, selective(log_probs, labels))

    @property
    def approximate(self) -> bool:
        """Whether the coverage is approximate."""
        return self.other_fits or self._few_groups

    @property
    def note(self) -> str:
        """A description of the calibration rows and of the kind of coverage that follows."""
        return calibration_note(self.n, self.rows, self.other_fits, self.groups)

    @property
    def _few_groups(self) -> bool:
        return self.groups is not None and self.groups < MIN_GROUPS

    def limit(self, coverage: float, method: str) -> float | Floats:
        """Return the threshold for a coverage, rounded up to the next one that the table has.

        For `classwise`, it is an array `[C]`; a class with an infinite threshold is in each set.
        """
        check_coverage(coverage)
        check_method(method)
        if method == "classwise":
            place = int(np.searchsorted(CLASS_COVERAGES, coverage - 1e-9))
            return np.array([each[place] if place < len(each) else EVERYTHING for each in self.by_class])
        level = min(math.ceil(coverage * LEVELS - 1e-9), LEVELS)
        found = self.thresholds[method][level - 1] if level < LEVELS else None
        return EVERYTHING if found is None else float(found)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "n": self.n,
            "rows": self.rows,
            "approximate": self.approximate,
            "other_fits": self.other_fits,
            "groups": self.groups,
            "note": self.note,
            "thresholds": {method: list(values) for method, values in self.thresholds.items()},
            "by_class": [list(each) for each in self.by_class],
            "abstain": [dict(each) for each in self.abstain],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any], who: str) -> Self:
        """Rebuild a table from `to_json`; the values may come from an untrusted file.

        Raises
        ------
        DataError
            The values are not those of a table.
        """
        try:
            thresholds = {
                method: [None if each is None else float(each) for each in found["thresholds"][method]]
                for method in _OF_ROWS
            }
            by_class = [[float(each) for each in values] for values in found["by_class"]]
            whole = all(len(values) == LEVELS - 1 for values in thresholds.values())
            made = cls(
                int(found["n"]),
                str(found["rows"]),
                bool(found["other_fits"]),
                None if found["groups"] is None else int(found["groups"]),
                thresholds,
                by_class,
                [dict(each) for each in found["abstain"]],
            )
        except (KeyError, TypeError, ValueError):
            whole = False
        if not whole:
            raise DataError(
                who,
                expected="thresholds of prediction sets",
                got="missing or invalid ones",
                todo="Build the ensemble again, and export it.",
            )
        return made


def calibration_note(n: int, rows: str, other_fits: bool, groups: int | None) -> str:
    """Return a description of calibration rows, and of the kind of coverage that follows."""
    few = groups is not None and groups < MIN_GROUPS
    kind = "cross-fitted rows" if rows == "oof" else f"rows of the {rows} split"
    of = "" if groups is None else f" of {'only ' * few}{groups} groups"
    if other_fits:
        return f"approximate: calibrated on {n} {kind}{of} that were predicted by other fits"
    if few:
        return f"approximate: calibrated on {n} rows{of}; a guarantee needs {MIN_GROUPS}"
    return f"calibrated on {n} rows{of} that no model was fitted on"


def selective(
    log_probs: NDArray[np.floating], labels: NDArray[np.int64], confidences: Sequence[float] = CONFIDENCES
) -> list[dict[str, float | None]]:
    """Return the share of rows that reach each confidence, and their accuracy; see `SetTable.abstain`.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import selective
    >>> log_probs = np.log([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    >>> selective(log_probs, np.array([0, 1, 1]), [0.65])
    [{'confidence': 0.65, 'answered': 0.6666666666666666, 'accuracy': 1.0}]
    """
    require_some("metrics", len(labels), "row")
    confidence, right = np.exp(log_probs.max(axis=1)), log_probs.argmax(axis=1) == labels
    found = []
    for least in confidences:
        answered = confidence >= least
        accuracy = float(right[answered].mean()) if answered.any() else None
        found.append({"confidence": least, "answered": float(answered.mean()), "accuracy": accuracy})
    return found


def _finite(values: Floats) -> list[float | None]:
    return [float(each) if np.isfinite(each) else None for each in values]

"""Split conformal prediction (Vovk, Gammerman, Shafer 2005): sets of classes with a guaranteed coverage.

The threshold of the sets is a quantile of the nonconformity scores of labeled rows that no model was fitted
on. This module does not import torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, UsageError

Floats = NDArray[np.float64]
METHODS = ("lac", "aps")
LEVELS = 1000
CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
EVERYTHING = math.inf


def nonconformity(log_probs: NDArray[np.floating], method: str) -> Floats:
    """Return the nonconformity score of each class, float64 `[N, C]`; larger means less plausible.

    Parameters
    ----------
    log_probs : float array [N, C]
        Log-probabilities or logits.
    method : {"lac", "aps"}
        `lac`: one minus the probability of the class (least ambiguous sets; Sadinle, Lei, Wasserman 2019).
        These sets are the smallest on average. `aps`: the total probability of all more probable classes
        (adaptive prediction sets; Romano, Sesia, Candes 2020). These sets grow with the uncertainty of the
        model. The paper adds a random share of the probability of the class itself; here it is left out, so
        that an image always gets the same set, and the most probable class always has the score 0.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import nonconformity
    >>> nonconformity(np.log([[0.5, 0.25, 0.25]]), "lac").round(4).tolist()
    [[0.5, 0.75, 0.75]]
    """
    if method not in METHODS:
        raise UsageError("sets", expected=f"one of {', '.join(METHODS)}", got=f"'{method}'")
    exact = log_probs.astype(np.float64)
    exact -= np.logaddexp.reduce(exact, axis=1, keepdims=True)
    if method == "lac":
        return -np.expm1(exact)
    order = np.argsort(-exact, axis=1, kind="stable")
    # Summing from the small end is more exact: a sum that starts with the large terms is soon rounded to 1.
    probs = np.exp(np.take_along_axis(exact, order, 1))
    before = np.maximum(1 - np.cumsum(probs[:, ::-1], axis=1)[:, ::-1], 0)
    result = np.empty_like(exact)
    np.put_along_axis(result, order, before, 1)
    return result


def threshold(scores: NDArray[np.floating], coverage: float) -> float:
    """Return the score that the label of a new row does not exceed with a probability of at least `coverage`.

    Parameters
    ----------
    scores : float array [n]
        Nonconformity scores of the labels of rows that no model was fitted on.
    coverage : float
        Above 0 and below 1.

    Returns
    -------
    float
        The `ceil((n + 1) * coverage)`-th smallest score, or infinity, which admits all classes, if n is too
        small.
    """
    check_coverage(coverage)
    place = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return float(np.partition(scores, place - 1)[place - 1]) if place <= len(scores) else EVERYTHING


def sets(log_probs: NDArray[np.floating], limit: float, method: str) -> NDArray[np.bool_]:
    """Return the prediction set of each row, bool `[N, C]`.

    A set contains the classes whose nonconformity score is at most `limit`, and the most probable class. So a
    set is never empty, which can only increase the coverage.
    """
    inside = nonconformity(log_probs, method) <= limit
    inside[np.arange(len(inside)), log_probs.argmax(axis=1)] = True
    return inside


def check_coverage(coverage: float) -> None:
    """Raise a UsageError unless the coverage is above 0 and below 1."""
    if not 0 < coverage < 1:
        raise UsageError(
            "coverage", expected="a number above 0 and below 1, such as 0.95", got=f"{coverage:g}"
        )


@dataclass(frozen=True)
class SetTable:
    """Thresholds of prediction sets for any coverage, computed from calibration rows.

    Attributes
    ----------
    n : int
        Number of calibration rows.
    rows : str
        Source of the calibration rows: `val` (held out) or `oof` (out of fold).
    approximate : bool
        Whether the calibration rows were predicted by other fits than those that are deployed. The coverage
        is then approximate.
    thresholds : mapping of str to list of float or None
        By method, the thresholds for the coverages k/1000, k from 1 to 999; None admits all classes.
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
    approximate: bool
    thresholds: Mapping[str, Sequence[float | None]]
    abstain: Sequence[Mapping[str, float | None]]

    @classmethod
    def of(
        cls, log_probs: NDArray[np.floating], labels: NDArray[np.int64], *, rows: str, approximate: bool
    ) -> Self:
        """Compute the table from log-probabilities `[N, C]` of calibration rows and their labels `[N]`."""
        found = {}
        for method in METHODS:
            scores = np.sort(nonconformity(log_probs, method)[np.arange(len(labels)), labels])
            places = [math.ceil((len(scores) + 1) * level / LEVELS - 1e-9) for level in range(1, LEVELS)]
            found[method] = [float(scores[each - 1]) if each <= len(scores) else None for each in places]
        return cls(len(labels), rows, approximate, found, selective(log_probs, labels))

    @property
    def note(self) -> str:
        """A description of the calibration rows and of the kind of coverage that follows."""
        if self.approximate:
            kind = "cross-fitted rows" if self.rows == "oof" else f"rows of the {self.rows} split"
            return f"approximate: calibrated on {self.n} {kind} that were predicted by other fits"
        return f"calibrated on {self.n} rows that no model was fitted on"

    def limit(self, coverage: float, method: str) -> float:
        """Return the threshold for a coverage, rounded up to the next thousandth."""
        check_coverage(coverage)
        level = min(math.ceil(coverage * LEVELS - 1e-9), LEVELS)
        found = self.thresholds[method][level - 1] if level < LEVELS else None
        return EVERYTHING if found is None else float(found)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "n": self.n,
            "rows": self.rows,
            "approximate": self.approximate,
            "note": self.note,
            "thresholds": {method: list(values) for method, values in self.thresholds.items()},
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
                for method in METHODS
            }
            whole = all(len(values) == LEVELS - 1 for values in thresholds.values())
            made = cls(
                int(found["n"]),
                str(found["rows"]),
                bool(found["approximate"]),
                thresholds,
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


def selective(
    log_probs: NDArray[np.floating], labels: NDArray[np.int64], confidences: Sequence[float] = CONFIDENCES
) -> list[dict[str, float | None]]:
    """Return the share of rows that reach each confidence, and their accuracy; see `SetTable.abstain`."""
    confidence, right = np.exp(log_probs.max(axis=1)), log_probs.argmax(axis=1) == labels
    found = []
    for least in confidences:
        answered = confidence >= least
        accuracy = float(right[answered].mean()) if answered.any() else None
        found.append({"confidence": least, "answered": float(answered.mean()), "accuracy": accuracy})
    return found


def coverage_and_size(
    log_probs: NDArray[np.floating], labels: NDArray[np.int64], limit: float, method: str
) -> dict[str, dict[str, float]]:
    """Return the `coverage` and the `mean_size` of the sets of labeled rows, with 95% intervals."""
    inside = sets(log_probs, limit, method)
    held, size = inside[np.arange(len(labels)), labels].astype(float), inside.sum(axis=1).astype(float)
    return {"coverage": _interval(held, wilson=True), "mean_size": _interval(size)}


def _interval(values: Floats, *, wilson: bool = False) -> dict[str, float]:
    """Return a mean with its 95% interval: normal, or Wilson's score interval for a proportion."""
    n, z = len(values), 1.959964
    mean = float(values.mean())
    if not wilson:
        reach = z * float(values.std()) / math.sqrt(n)
        return {"value": mean, "low": mean - reach, "high": mean + reach}
    middle = (mean + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return {"value": mean, "low": middle - reach, "high": middle + reach}

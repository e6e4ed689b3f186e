"""Conformal prediction: sets of classes that hold the right one as often as promised, and when to abstain.

Split-conformal (Vovk, Gammerman, Shafer 2005): scores of labeled rows that nothing was fitted on say how
high a threshold must be. Needs no torch.
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
    """Return how strange each class would be, float64 `[N, C]`, for log-probabilities `[N, C]`.

    Parameters
    ----------
    log_probs : float array [N, C]
    method : {"lac", "aps"}
        `lac`: one minus the probability of the class (least ambiguous sets; Sadinle, Lei, Wasserman 2019),
        the smallest sets on average. `aps`: the probability of all more probable classes together (adaptive
        sets; Romano, Sesia, Candes 2020), larger sets where the model is unsure. The class's own
        probability is left out, rather than a random share of it taken: so the same photo has the same set,
        and the most probable class is never the strange one.
    """
    if method not in METHODS:
        raise UsageError("sets", expected=f"one of {', '.join(METHODS)}", got=f"'{method}'")
    exact = log_probs.astype(np.float64)
    exact -= np.logaddexp.reduce(exact, axis=1, keepdims=True)
    if method == "lac":
        return -np.expm1(exact)
    order = np.argsort(-exact, axis=1, kind="stable")
    # One minus what is not before, summed from the small end: from the large end a sum rounds to one at once.
    probs = np.exp(np.take_along_axis(exact, order, 1))
    before = np.maximum(1 - np.cumsum(probs[:, ::-1], axis=1)[:, ::-1], 0)
    result = np.empty_like(exact)
    np.put_along_axis(result, order, before, 1)
    return result


def threshold(scores: NDArray[np.floating], coverage: float) -> float:
    """Return the score that a new row's label stays at or below with a probability of at least `coverage`.

    Parameters
    ----------
    scores : float array [n]
        Of the labels of rows that nothing was fitted on.
    coverage : float
        Above 0, below 1.

    Returns
    -------
    float
        The `ceil((n + 1) * coverage)`-th smallest; infinity, which admits all classes, where n is too small.
    """
    check_coverage(coverage)
    place = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return float(np.partition(scores, place - 1)[place - 1]) if place <= len(scores) else EVERYTHING


def sets(log_probs: NDArray[np.floating], limit: float, method: str) -> NDArray[np.bool_]:
    """Return which classes are in each row's set, bool `[N, C]`: those up to a threshold, and the top one.

    A set is never empty: that can only make it hold the label more often.
    """
    inside = nonconformity(log_probs, method) <= limit
    inside[np.arange(len(inside)), log_probs.argmax(axis=1)] = True
    return inside


def check_coverage(coverage: float) -> None:
    """Refuse a coverage that is no share above 0 and below 1."""
    if not 0 < coverage < 1:
        raise UsageError(
            "coverage", expected="a share above 0 and below 1, such as 0.95", got=f"{coverage:g}"
        )


@dataclass(frozen=True)
class SetTable:
    """What calibration rows say: enough for a set of any coverage, without the rows.

    Attributes
    ----------
    n : int
        Calibration rows.
    rows : str
        Which they are: `val` (kept apart) or `oof` (out of fold).
    approximate : bool
        Whether they were predicted by other fits than those that answer, so that the promise holds about.
    thresholds : mapping of str to list of float or None
        By method, the threshold at each coverage of k/1000, k from 1 to 999; None admits all classes.
    abstain : list of mapping
        `confidence`, and of the rows whose highest probability reaches it: `answered`, their share, and
        `accuracy`, None where there are none.
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
        """Take log-probabilities `[N, C]` of calibration rows, and their labels `[N]`."""
        found = {}
        for method in METHODS:
            scores = np.sort(nonconformity(log_probs, method)[np.arange(len(labels)), labels])
            places = [math.ceil((len(scores) + 1) * level / LEVELS - 1e-9) for level in range(1, LEVELS)]
            found[method] = [float(scores[each - 1]) if each <= len(scores) else None for each in places]
        return cls(len(labels), rows, approximate, found, selective(log_probs, labels))

    @property
    def note(self) -> str:
        """What the promise is worth, in a sentence."""
        if self.approximate:
            kind = "cross-fitted rows" if self.rows == "oof" else f"rows of the {self.rows} split"
            return f"approximate: calibrated on {self.n} {kind}, whose predictions came from other fits"
        return f"calibrated on {self.n} rows that nothing was fitted on"

    def limit(self, coverage: float, method: str) -> float:
        """Return the threshold for a coverage: that of the next thousandth above it."""
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
        """Read what `to_json` wrote; it may come from anybody.

        Raises
        ------
        DataError
            It is no such table.
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
                got="none, or damaged ones",
                todo="Build the ensemble again, and export it.",
            )
        return made


def selective(
    log_probs: NDArray[np.floating], labels: NDArray[np.int64], confidences: Sequence[float] = CONFIDENCES
) -> list[dict[str, float | None]]:
    """Return, for each confidence, the share of rows that reach it, and the accuracy of those."""
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
    """Return `coverage` and `mean_size` of labeled rows' sets, each `value`, `low` and `high` (95%)."""
    inside = sets(log_probs, limit, method)
    held, size = inside[np.arange(len(labels)), labels].astype(float), inside.sum(axis=1).astype(float)
    return {"coverage": _interval(held, wilson=True), "mean_size": _interval(size)}


def _interval(values: Floats, *, wilson: bool = False) -> dict[str, float]:
    """Return a mean with its 95% interval: normal, or Wilson's for a share."""
    n, z = len(values), 1.959964
    mean = float(values.mean())
    if not wilson:
        reach = z * float(values.std()) / math.sqrt(n)
        return {"value": mean, "low": mean - reach, "high": mean + reach}
    middle = (mean + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return {"value": mean, "low": middle - reach, "high": middle + reach}

"""Paired differences between two predictions of the same rows, and their limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc, ndtri, stdtrit

from committee.errors import UsageError
from committee.metrics.named import METRICS, get_metric

LEVEL = 0.025
"""Probability that the lower limit of a single gain is above the true gain."""
TINY = 1e-300
LONG = 1e7
"""Size of a gain from which it is written with an exponent."""

LogProbs = NDArray[np.float32]
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Gain:
    """A paired difference between two predictions of the same rows; positive means better.

    Attributes
    ----------
    metric : str
        The metric that is compared.
    value : float
        The difference, positive if the candidate is better.
    standard_error : float
        Standard error of the difference.
    critical : float
        Half of the width of the interval in standard errors. For a single gain, it is the 97.5% quantile of
        Student's t; for one of several methods it is larger (see `committee.scoring.simultaneous`).
    units : int
        Number of rows, or of groups, that are independent.
    against : str
        Description of the baseline.

    See Also
    --------
    gain : Compute the gain of a candidate over a baseline.

    Examples
    --------
    >>> from committee.scoring import Gain
    >>> found = Gain("accuracy", 0.02, 0.005, 2.0, 500, against="best single member (a)")
    >>> found.proven, found.text
    (True, '+2.0 points accuracy [1.0, 3.0]')
    >>> Gain("rmse", 2.06, 0.57, 2.0, 500, against="best single member (a)").text
    'rmse lower by 2.1 [0.9, 3.2]'
    >>> Gain("accuracy", 0.02, 0.015, 2.0, 500, against="best single member (a)").text
    'no proven gain'
    """

    metric: str
    value: float
    standard_error: float
    critical: float
    units: int
    against: str

    @property
    def low(self) -> float:
        """The lower end of the interval."""
        return self.value - self.critical * self.standard_error

    @property
    def high(self) -> float:
        """The upper end of the interval."""
        return self.value + self.critical * self.standard_error

    @property
    def proven(self) -> bool:
        """Whether the whole interval is above zero."""
        return self.low > 0

    @property
    def text(self) -> str:
        """The gain as text, or `no proven gain`."""
        if not self.proven:
            return "no proven gain"
        metric = METRICS.get(self.metric)
        if metric is not None and metric.in_points:
            low, value, high = (f"{100 * end:.1f}" for end in (self.low, self.value, self.high))
            return f"+{value} points {self.metric} [{low}, {high}]"
        better = "higher" if metric is not None and metric.higher_is_better else "lower"
        unit = metric is not None and metric.has_unit
        low, value, high = self._in_unit() if unit else map(_four, (self.low, self.value, self.high))
        return f"{self.metric} {better} by {value} [{low}, {high}]"

    def _in_unit(self) -> list[str]:
        """Return the ends and the value with two digits of half the width, whatever the unit is."""
        reach = self.critical * self.standard_error
        place = math.floor(math.log10(reach)) - 1 if reach else 0
        ends = (round(end, -place) for end in (self.low, self.value, self.high))
        is_long = not -5 < place < 5 or max(abs(self.low), abs(self.high)) >= LONG
        return [f"{end:.3g}" if is_long else f"{end:.{max(-place, 0)}f}" for end in ends]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, `low`, `high`, `proven` and `text` included."""
        shown = {name: getattr(self, name) for name in ("low", "high", "proven", "text")}
        return {**asdict(self), **shown}


def gain(
    candidate: LogProbs,
    baseline: LogProbs,
    labels: NDArray[Any],
    *,
    metric: str = "log_loss",
    groups: NDArray[np.int64] | None = None,
    against: str = "baseline",
) -> Gain:
    """Return by how much a candidate is better than a baseline that is fixed, with a paired 95% interval.

    Parameters
    ----------
    candidate, baseline : float32 array [N, C]
        Log-probabilities, or numbers, of the same rows.
    labels : int64 array [N] or float array [N, C]
        Class indices, or true numbers.
    metric : str
        A metric of classes or of numbers.
    groups : int64 array [N], optional
        Groups of rows that are not independent.
    against : str
        Description of the baseline for reports.

    Raises
    ------
    UsageError
        The metric has no `influence`, so that a difference in it has no standard error.

    Notes
    -----
    The standard error is that of a sum over independent rows or groups. Metrics that are not means over rows
    are linearized. Two rows or groups are added to the variance, one in favor of each prediction, of the
    average size of those that differ (Bonett and Price 2012), so that a few rows prove nothing. For the
    accuracy of rows without groups, the standard error is at least the one for which the interval agrees with
    the exact test of McNemar (1947). No other metric of the predicted classes is more significant than if all
    rows (of the average size) in which they differ had the same sign.

    References
    ----------
    Q. McNemar (1947). Note on the sampling error of the difference between correlated proportions or
    percentages. Psychometrika 12, 153-157.

    D. G. Bonett, R. M. Price (2012). Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data. Journal of Educational and Behavioral Statistics 37, 479-488.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.scoring import gain
    >>> labels = np.arange(100) % 2
    >>> good, bad = (np.log(np.where(np.eye(2)[labels] == 1, p, 1 - p)) for p in (0.9, 0.8))
    >>> round(gain(good, bad, labels).value, 3)
    0.118
    """
    found = get_metric(metric)
    if found.influence is None:
        raise UsageError("gain", expected="a metric with the influence of each row", got=f"'{metric}'")
    rows, other = (found.read(each, labels) for each in (candidate, baseline))
    value, known = (signed_values(each, [metric])[0] for each in (rows, other))
    mine, others = (signed_influences(each, [metric])[0] for each in (rows, other))
    unit = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(unit, mine - others).astype(float)
    error = math.sqrt(corrected((sums**2).sum(), len(sums))) / len(labels)
    counts = discordant(rows.correct, other.correct) if found.is_count and groups is None else None
    changed = np.bincount(unit, rows.predicted != other.predicted) > 0 if found.by_class else None
    return paired(metric, value - known, error, sums, against, counts, changed)


def paired(
    metric: str,
    value: float,
    error: float,
    sums: Floats,
    against: str,
    counts: tuple[int, int] | None = None,
    changed: NDArray[np.bool_] | None = None,
) -> Gain:
    """Return the gain of a difference in a metric, after the corrections that `gain` describes.

    Parameters
    ----------
    metric : str
    value, error : float
        The difference, and its standard error.
    sums : float array [U]
        Influences of the difference, summed over each independent row or group.
    against : str
        Description of the baseline.
    counts : (int, int), optional
        Number of rows that only the candidate predicts correctly, and that only the baseline does, for the
        exact test.
    changed : bool array [U], optional
        Rows or groups in which the predicted classes differ, for a metric of the predicted classes.
    """
    squares = sums**2
    if squares.any():
        error *= math.sqrt(1 + 2 * (squares**2).sum() / squares.sum() ** 2)
    if counts is not None and max(counts):
        error = max(error, _least_error(value, float(bdtrc(max(counts) - 1, sum(counts), 0.5))))
    if changed is not None and changed.any():
        # The differences of k units have the same sign by chance with a probability of 2 ** -k.
        sizes = np.abs(sums[changed])
        error = max(error, _least_error(value, 0.5 ** (sizes.sum() ** 2 / max((sizes**2).sum(), TINY))))
    critical = float(stdtrit(max(len(sums) - 1, 1), 1 - LEVEL))
    return Gain(metric, float(value), float(error), critical, len(sums), against)


def _four(value: float) -> str:
    return f"{value:#.4g}" if abs(value) >= 1 else f"{value:.4f}"


def _least_error(value: float, probability: float) -> float:
    """Return the standard error with which a value is as significant as an event of this probability."""
    return abs(value) / max(-float(ndtri(probability)), 0.5)


def corrected(variance: float, units: int) -> float:
    """Return a variance of `units` values around their mean, divided by `units - 1` and not `units`."""
    return float(variance) * units / (units - 1) if units > 1 else math.inf


def discordant(correct: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int]:
    """Return how many rows only the first prediction has right, and how many only the second."""
    return int((correct & ~other).sum()), int((other & ~correct).sum())


def signed_values(rows: Any, metrics: Sequence[str]) -> Floats:
    """Return metrics `[K]`, such that larger is better."""
    found = map(get_metric, metrics)
    return np.array([each.sign * float(each.function(rows.whole)) for each in found])


def signed_influences(rows: Any, metrics: Sequence[str]) -> Floats:
    """Return the influence of each row on metrics, `[K, N]`, such that larger is better."""
    found = map(get_metric, metrics)
    return np.array([each.sign * each.influence(rows) for each in found if each.influence is not None])

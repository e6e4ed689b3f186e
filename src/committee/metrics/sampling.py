"""Intervals of metrics of independent rows, or of independent groups of rows, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtri, stdtrit

from committee.base.limits import require_some

Floats = NDArray[np.floating[Any]]
CORRELATION = 0.1
"""Intraclass correlation of errors that no row has."""


class Rates(NamedTuple):
    """A metric as a weighted mean of rates `hits / totals`, times a scale.

    Attributes
    ----------
    hits, totals, weights : float array [K]
        Numerator, denominator and weight of each rate; a denominator is the number of rows whose rate would
        be as certain.
    scale : float
        The largest value of the metric.
    """

    hits: Floats
    totals: Floats
    weights: Floats
    scale: float = 1.0


@dataclass(frozen=True)
class Interval:
    """A value and its confidence interval.

    Attributes
    ----------
    value : float
        The metric of all rows.
    low, high : float
        The ends of the interval.

    See Also
    --------
    committee.metrics.intervals : Compute metrics with their intervals.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import intervals
    >>> labels = np.arange(90) % 3
    >>> guess = np.where(np.arange(90) % 10 == 0, (labels + 1) % 3, labels)
    >>> log_probs = np.log(np.eye(3)[guess] * 0.7 + 0.1)
    >>> found = intervals(log_probs, labels, names=["accuracy"])["accuracy"]
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (0.9, 0.819, 0.953)
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Sample:
    """How rows were drawn: one by one, or in groups whose rows are dependent.

    Attributes
    ----------
    rows : int
        Number of rows N.
    groups : array [N] or None
        Group of each row.
    level : float
        Nominal coverage of intervals.

    Notes
    -----
    With groups, the variance is that between groups, times G / (G - 1), and at least that of single rows;
    quantiles are those of Student's t with G - 1 degrees of freedom. One group has no variance: the interval
    is the range of the metric.

    References
    ----------
    E. B. Wilson (1927). Probable inference, the law of succession, and statistical inference. JASA 22.
    E. L. Korn, B. I. Graubard (1998). Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data. Survey Methodology 24.

    Examples
    --------
    Nine of ten rows are right, as single rows, and as five patients with two rows each:

    >>> import numpy as np
    >>> from committee.metrics.sampling import Sample
    >>> right = np.arange(10) > 0
    >>> alone, grouped = Sample(10).proportion(right), Sample(10, np.arange(10) // 2).proportion(right)
    >>> [round(end, 2) for each in (alone, grouped) for end in (each.low, each.high)]
    [0.55, 1.0, 0.34, 1.0]
    """

    rows: int
    groups: ArrayLike | None = None
    level: float = 0.95

    def __post_init__(self) -> None:
        require_some("metrics", self.rows, "row")

    @cached_property
    def unit(self) -> NDArray[np.intp] | None:
        """Index of the group of each row, `[N]`; None for single rows."""
        return None if self.groups is None else np.unique(self.groups, return_inverse=True)[1]

    @cached_property
    def units(self) -> int:
        """Number of groups, or of rows."""
        return self.rows if self.unit is None else int(self.unit.max()) + 1

    @cached_property
    def quantile(self) -> float:
        """Half the width of an interval in standard errors."""
        tail = (1 + self.level) / 2
        if self.unit is None:
            return float(ndtri(tail))
        return float(stdtrit(self.units - 1, tail)) if self.units > 1 else float("inf")

    def effective(self, rates: Rates, influence: Floats) -> float:
        """Return the number of independent rows whose rate is as certain as a mean of rates.

        The variance of groups is larger than that of their rows by the design effect, a factor of at least 1.
        Errors that the rows do not have say nothing about it: the variance that is added for them has at
        least the design effect of an intraclass correlation of 0.1.
        """
        middle, added = _smoothed(rates)
        variance, effect = self._variance(influence)
        total = variance / rates.scale**2 * effect + added * max(effect, self._assumed_effect)
        return middle * (1 - middle) / total if total else float(rates.totals.sum())

    def _variance(self, influence: Floats) -> tuple[float, float]:
        """Return the variance of the mean of independent rows, and the design effect of the groups."""
        single = float(np.square(influence, dtype=float).sum())
        effect = 1.0
        if self.unit is not None and single:
            between = float(np.square(np.bincount(self.unit, influence)).sum())
            effect = max(between * self.units / max(self.units - 1, 1) / single, 1.0)
        return single / self.rows**2, effect

    @cached_property
    def _assumed_effect(self) -> float:
        """The design effect of groups of these sizes for an intraclass correlation of 0.1."""
        if self.unit is None:
            return 1.0
        size = float(np.square(np.bincount(self.unit), dtype=float).sum()) / self.rows
        return 1 + CORRELATION * (size - 1)

    def error(self, influence: Floats) -> float:
        """Return the standard error of a metric with these influences of rows, `[N]`; their sum is 0."""
        if self.units < 2:
            return float("inf")
        variance, effect = self._variance(influence)
        return float(np.sqrt(variance * effect * self.units / (self.units - 1)))

    def proportion(self, right: NDArray[np.bool_]) -> Interval:
        """Return the share of true values `[N]` with its exact interval.

        It is that of Clopper and Pearson, for groups with the effective number of rows (Korn and Graubard
        1998).
        """
        value = float(right.mean())
        known = ndtri((1 + self.level) / 2) / self.quantile
        count = self.effective(one_rate(value, self.rows), right - value) * known**2
        if count <= 0:
            return Interval(value, 0.0, 1.0)
        hits, misses, tail = value * count, (1 - value) * count, (1 - self.level) / 2
        low = float(betaincinv(hits, misses + 1, tail)) if value > 0 else 0.0
        high = float(betaincinv(hits + 1, misses, 1 - tail)) if value < 1 else 1.0
        return Interval(value, min(low, value), max(high, value))

    def mean(self, values: Floats, most: float, least: float = 0.0) -> Interval:
        """Return the mean of values `[N]` between `least` and `most` with its score interval."""
        value, scale = float(values.mean(dtype=float)), most - least
        if not np.isfinite(value) or not scale:
            return Interval(value, least, value)
        share = (value - least) / scale
        found = self.score(share, (values - value) / scale, one_rate(share, self.rows))
        return Interval(value, least + scale * found.low, least + scale * found.high)

    def score(self, value: float, influence: Floats, rates: Rates) -> Interval:
        """Return Wilson's score interval of a mean of rates, with the effective number of rows.

        Parameters
        ----------
        value : float
            The metric, from 0 to the scale of the rates.
        influence : float array [N]
            Its centered influences.
        rates : Rates
            What it is a mean of.
        """
        if np.isnan(value):
            return Interval(value, value, value)
        share = value / rates.scale
        if not np.isfinite(self.quantile):
            return Interval(value, 0.0, rates.scale)
        more = self.quantile**2 / self.effective(rates, influence)
        middle = (share + more / 2) / (1 + more)
        reach = np.sqrt(more * max(share * (1 - share), 0.0) + more**2 / 4) / (1 + more)
        low, high = (rates.scale * float(np.clip(end, 0, 1)) for end in (middle - reach, middle + reach))
        return Interval(value, min(low, value), max(high, value))


def one_rate(share: float, rows: int, scale: float = 1.0) -> Rates:
    """Return a mean of N rows as one rate."""
    return Rates(np.array([share * rows]), np.array([float(rows)]), np.ones(1), scale)


def _smoothed(rates: Rates) -> tuple[float, float]:
    """Return a mean of rates with two hits and two misses added to each, and the variance that this adds.

    A rate of 0 or 1 has no variance in the sample, which the added rows give it (Agresti and Coull 1998); the
    hits of the other rates decide how the four are divided.
    """
    hits, totals, weights, _ = rates
    plain = hits / totals
    others = (hits.sum() - hits + 2) / (totals.sum() - totals + 4)
    smooth = (hits + 4 * others) / (totals + 4)
    added = np.maximum(smooth * (1 - smooth) - plain * (1 - plain), 0) / totals
    return float((weights * smooth).sum()), float((weights**2 * added).sum())

"""Metrics of predicted numbers: each is a function of rows, averaged over the targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from committee.errors import DataError
from committee.metrics.metric import Metric, named
from committee.metrics.positive import ratio_ends, relative_ends
from committee.metrics.ranks import Order, known_order
from committee.metrics.sampling import Interval, Sample
from committee.predictions.spread import spread_of

Floats = NDArray[np.floating[Any]]
Function = Callable[["NumberRows"], Floats]


@dataclass(frozen=True, eq=False)
class NumberRows:
    """Predicted and true numbers of rows, and what metrics of them share.

    Attributes
    ----------
    values, truth : float64 array [N, T]
        Predicted and true numbers, each in the unit of its target.
    unit : float64 array [T]
        The unit of errors: 1 if there is one target. If there are several, errors are in standard deviations
        of the true numbers of each, so that a mean over the targets does not depend on their units.
    variances : float64 array [N, T] or None
        Predicted variance of each number, in its squared unit.

    See Also
    --------
    evaluate : Compute metrics of numbers.

    Examples
    --------
    >>> from committee.metrics.regression import NumberRows
    >>> NumberRows.read([1.0, 3.0], [1.0, 2.0]).mean_square.tolist()
    [0.5]
    """

    values: Floats
    truth: Floats
    unit: Floats
    variances: Floats | None = None

    @classmethod
    def read(cls, values: ArrayLike, truth: ArrayLike, variances: ArrayLike | None = None) -> NumberRows:
        """Check numbers `[N]` or `[N, T]`, and return them as rows.

        Raises
        ------
        DataError
            The shapes do not match, or a number is not finite.
        """
        arrays = [np.asarray(each, np.float64) for each in (values, truth)]
        first, other = (each[:, None] if each.ndim == 1 else each for each in arrays)
        if first.ndim != 2 or first.shape != other.shape or not len(first):
            raise DataError(
                "metrics",
                expected="values [N, T] and numbers [N, T]",
                got=f"{list(first.shape)} and {list(other.shape)}",
            )
        if not (np.isfinite(first).all() and np.isfinite(other).all()):
            raise DataError("metrics", expected="finite numbers", got="NaN or infinity")
        unit = spread_of(other) if other.shape[1] > 1 else np.ones(1)
        known = None if variances is None else np.asarray(variances, np.float64).reshape(first.shape)
        return cls(first, other, unit, known)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def whole(self) -> NumberRows:
        """The rows themselves, of which metrics are functions."""
        return self

    def part(self, where: NDArray[np.bool_]) -> NumberRows:
        """Return some of the rows."""
        variances = None if self.variances is None else self.variances[where]
        return NumberRows(self.values[where], self.truth[where], self.unit, variances)

    @property
    def by_mean(self) -> NumberRows:
        """The same rows, predicted by the mean of each target."""
        return replace(self, values=np.broadcast_to(self.truth.mean(axis=0), self.truth.shape))

    @cached_property
    def errors(self) -> Floats:
        """Predicted minus true numbers in `unit`, `[N, T]`."""
        return (self.values - self.truth) / self.unit

    @cached_property
    def mean_square(self) -> Floats:
        """Mean squared error of each target, `[T]`."""
        return np.square(self.errors).mean(axis=0)

    @cached_property
    def deviations(self) -> Floats:
        """Squared distances of the true numbers from their mean in `unit`, `[N, T]`."""
        return np.square((self.truth - self.truth.mean(axis=0)) / self.unit)

    @cached_property
    def orders(self) -> tuple[Order, Order]:
        """The order of predicted and of true numbers."""
        return Order.of(self.values), known_order(self.truth)


def _rmse(rows: NumberRows) -> Floats:
    return np.sqrt(rows.mean_square).mean()


def _rmse_influence(rows: NumberRows) -> Floats:
    root = np.sqrt(rows.mean_square)
    return _divide(np.square(rows.errors) - rows.mean_square, 2 * root).mean(axis=1)


def _mae(rows: NumberRows) -> Floats:
    return np.abs(rows.errors).mean()


def _mae_influence(rows: NumberRows) -> Floats:
    terms = np.abs(rows.errors).mean(axis=1)
    return terms - terms.mean()


def _r2(rows: NumberRows) -> Floats:
    variance = rows.deviations.mean(axis=0)
    return np.where(variance > 0, 1 - _divide(rows.mean_square, variance), np.nan).mean()


def _r2_influence(rows: NumberRows) -> Floats:
    variance = rows.deviations.mean(axis=0)
    share = _divide(rows.mean_square, variance)
    terms = _divide(share * rows.deviations - np.square(rows.errors), variance)
    return terms.mean(axis=1)


def _spearman(rows: NumberRows) -> Floats:
    first, other = (order.ranks for order in rows.orders)
    norm = np.sqrt(np.square(first).mean(axis=0) * np.square(other).mean(axis=0))
    return np.where(norm > 0, _divide((first * other).mean(axis=0), norm), np.nan).mean()


def _spearman_influence(rows: NumberRows) -> Floats:
    """Return the influences on the rank correlation, in which a row changes the ranks of others too."""
    predicted, true = rows.orders
    first, other = predicted.ranks, true.ranks
    pairs = ((first, other), (first, first), (other, other))
    product, square, other_square = (np.mean(each * by, axis=0) for each, by in pairs)
    both = first * other + predicted.above(other) + true.above(first)
    alone = (
        (each**2 + 2 * order.above(each), mean)
        for each, order, mean in ((first, predicted, square), (other, true, other_square))
    )
    spread = sum(_divide(terms - terms.mean(axis=0), 2 * mean) for terms, mean in alone)
    norm = np.sqrt(square * other_square)
    terms = _divide(both - both.mean(axis=0), norm) - _divide(product, norm) * spread
    return terms.mean(axis=1)


def _error(metric: Function, influence: Function, power: int) -> Any:
    """Return the interval of a measure of errors, a power of which is a mean of rows."""

    def interval(rows: NumberRows, sample: Sample, resamples: int, seed: int) -> Interval:
        value = float(metric(rows))
        if value > 0:
            low, high = relative_ends(power * influence(rows) / value, sample)
            return Interval(value, value * low ** (1 / power), value * high ** (1 / power))
        return Interval(0.0, 0.0, float(metric(rows.by_mean)) * _unseen(sample) ** (1 / power) or np.inf)

    return interval


def _explained(rows: NumberRows, sample: Sample, resamples: int, seed: int) -> Interval:
    """Return R2, 1 minus a ratio of two means, with its interval."""
    value = float(_r2(rows))
    rest = 1 - value
    if not np.isfinite(value):
        return Interval(value, value, value)
    if rest <= 0:
        return Interval(1.0, 1 - _unseen(sample), 1.0)
    errors = _divide(np.square(rows.errors), rows.deviations.mean(axis=0)).mean(axis=1) / rest - 1
    low, high = ratio_ends(errors, errors + _r2_influence(rows) / rest, sample)
    return Interval(value, 1 - rest * high, 1 - rest * low)


def _unseen(sample: Sample) -> float:
    """Return the share of rows in which an event that no row shows can happen: 3 / n for many rows."""
    return float(1 - (1 - sample.level) ** (1 / sample.units))


def _fisher(rows: NumberRows, sample: Sample, resamples: int, seed: int) -> Interval:
    """Return the rank correlation with an interval on the scale of Fisher's transformation.

    The variance is at least the one that it would have if both numbers were normal (Bonett and Wright 2000).
    A correlation of 1, which has no variance in the sample, counts as 1 - 1 / n.
    """
    value, count = float(_spearman(rows)), len(rows)
    if not np.isfinite(value):
        return Interval(value, value, value)
    if count < 4 or sample.units < 2:
        return Interval(value, -1.0, 1.0)
    inner = float(np.clip(value, 1 / sample.units - 1, 1 - 1 / sample.units))
    error = sample.error(_spearman_influence(rows)) * np.sqrt(count / (count - 3)) / (1 - inner**2)
    error = max(error, np.sqrt((1 + inner**2 / 2) / (count - 3)))
    reach = stdtrit(sample.units - 1, (1 + sample.level) / 2) * error
    low, high = np.tanh(np.arctanh(inner) + np.array([-reach, reach]))
    return Interval(value, min(float(low), value), max(float(high), value))


def _divide(part: Floats, whole: Floats) -> Floats:
    """Divide, with 0 / 0 = 0."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole != 0)


METRICS: dict[str, Metric] = {
    name: Metric(name, function, higher, influence, interval, NumberRows.read, has_unit=unit)
    for name, function, higher, influence, interval, unit in (
        ("rmse", _rmse, False, _rmse_influence, _error(_rmse, _rmse_influence, 2), True),
        ("mae", _mae, False, _mae_influence, _error(_mae, _mae_influence, 1), True),
        ("r2", _r2, True, _r2_influence, _explained, False),
        ("spearman", _spearman, True, _spearman_influence, _fisher, False),
    )
}
"""Root mean squared error, mean absolute error, coefficient of determination, and rank correlation."""


def evaluate(values: ArrayLike, truth: ArrayLike, names: Iterable[str] | None = None) -> dict[str, float]:
    """Return metrics of predicted numbers.

    Parameters
    ----------
    values, truth : float array [N] or [N, T]
        Predicted and true numbers. With several targets, a metric is the mean of those of the targets;
        `rmse` and `mae` are then in standard deviations of the true numbers of each target, and not in units,
        so that no target counts more because its unit is small.
    names : iterable of str, optional
        Keys of `METRICS`; all of them by default.

    Examples
    --------
    >>> from committee.metrics.regression import evaluate
    >>> evaluate([1.0, 3.0], [1.0, 2.0], ["mae", "r2"])
    {'mae': 0.5, 'r2': -1.0}
    """
    rows = NumberRows.read(values, truth)
    return {
        name: float(named(name, METRICS).function(rows)) for name in (METRICS if names is None else names)
    }

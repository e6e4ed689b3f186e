"""Metrics of predicted numbers: each is a function of rows, averaged over the targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.errors import DataError
from committee.metrics.metric import Metric, named
from committee.metrics.sampling import Interval, Sample

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class NumberRows:
    """Predicted and true numbers of rows, and what metrics of them share.

    Attributes
    ----------
    values, truth : float64 array [N, T]
        Predicted and true numbers, each in the unit of its target.

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

    @classmethod
    def read(cls, values: ArrayLike, truth: ArrayLike) -> NumberRows:
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
        return cls(first, other)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def whole(self) -> NumberRows:
        """The rows themselves, of which metrics are functions."""
        return self

    def part(self, where: NDArray[np.bool_]) -> NumberRows:
        """Return some of the rows."""
        return NumberRows(self.values[where], self.truth[where])

    @cached_property
    def errors(self) -> Floats:
        """Predicted minus true numbers, `[N, T]`."""
        return self.values - self.truth

    @cached_property
    def mean_square(self) -> Floats:
        """Mean squared error of each target, `[T]`."""
        return np.square(self.errors).mean(axis=0)

    @cached_property
    def deviations(self) -> Floats:
        """Squared distances of the true numbers from their mean, `[N, T]`."""
        return np.square(self.truth - self.truth.mean(axis=0))

    @cached_property
    def ranks(self) -> tuple[Floats, Floats]:
        """Ranks of predicted and of true numbers, scaled to -1/2 to 1/2, each `[N, T]`."""
        from scipy.stats import rankdata  # takes 0.3 s

        count = len(self.values)
        first, other = ((rankdata(each, axis=0) - 0.5) / count - 0.5 for each in (self.values, self.truth))
        return first, other


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
    first, other = rows.ranks
    norm = np.sqrt(np.square(first).mean(axis=0) * np.square(other).mean(axis=0))
    return np.where(norm > 0, _divide((first * other).mean(axis=0), norm), np.nan).mean()


def _spearman_influence(rows: NumberRows) -> Floats:
    """Return the influences on the rank correlation, in which a row changes the ranks of others too."""
    first, other = rows.ranks
    total = first * other + _above(rows.values, other) + _above(rows.truth, first)
    norm = np.sqrt(np.square(first).mean(axis=0) * np.square(other).mean(axis=0))
    terms = _divide(total, norm)
    return (terms - terms.mean(axis=0)).mean(axis=1)


def _above(values: Floats, weights: Floats) -> Floats:
    """Return, for each row, the mean over all rows of the weights of those that are not below it."""
    result = np.empty_like(weights)
    for target in range(values.shape[1]):
        order = np.argsort(values[:, target], kind="stable")
        tail = np.cumsum(weights[order[::-1], target])[::-1]
        ordered = values[order, target]
        result[order, target] = tail[np.searchsorted(ordered, ordered, side="left")]
    return result / len(values)


def _scale(
    metric: Callable[[NumberRows], Floats], influence: Callable[[NumberRows], Floats], top: float | None
) -> Any:
    """Return the interval of a positive number, or of its distance from `top`, on a logarithmic scale."""

    def interval(rows: NumberRows, sample: Sample, resamples: int, seed: int) -> Interval:
        value = float(metric(rows))
        size = value if top is None else top - value
        if not np.isfinite(value) or size <= 0:
            return Interval(value, value, value)
        reach = sample.quantile * sample.error(influence(rows)) / size
        ends = (size * np.exp(-reach), size * np.exp(reach))
        low, high = ends if top is None else (top - ends[1], top - ends[0])
        return Interval(value, float(low), float(high))

    return interval


def _fisher(rows: NumberRows, sample: Sample, resamples: int, seed: int) -> Interval:
    """Return the rank correlation with an interval on the scale of Fisher's transformation."""
    value = float(_spearman(rows))
    if not np.isfinite(value) or abs(value) >= 1:
        return Interval(value, value, value)
    reach = sample.quantile * sample.error(_spearman_influence(rows)) / (1 - value**2)
    low, high = np.tanh(np.arctanh(value) + np.array([-reach, reach]))
    return Interval(value, float(low), float(high))


def _divide(part: Floats, whole: Floats) -> Floats:
    """Divide, with 0 / 0 = 0."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole != 0)


def _metric(name: str, function: Any, higher_is_better: bool, influence: Any, interval: Any) -> Metric:
    return Metric(name, function, higher_is_better, influence, interval, NumberRows.read)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _metric("rmse", _rmse, False, _rmse_influence, _scale(_rmse, _rmse_influence, None)),
        _metric("mae", _mae, False, _mae_influence, _scale(_mae, _mae_influence, None)),
        _metric("r2", _r2, True, _r2_influence, _scale(_r2, _r2_influence, 1.0)),
        _metric("spearman", _spearman, True, _spearman_influence, _fisher),
    )
}
"""Root mean squared error, mean absolute error, coefficient of determination, and rank correlation."""


def evaluate(values: ArrayLike, truth: ArrayLike, names: Iterable[str] | None = None) -> dict[str, float]:
    """Return metrics of predicted numbers.

    Parameters
    ----------
    values, truth : float array [N] or [N, T]
        Predicted and true numbers. With several targets, a metric is the mean of those of the targets, as in
        scikit-learn.
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

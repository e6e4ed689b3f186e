"""Means of values of rows, with the variance of independent rows or of independent groups of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from committee.base.limits import require_some
from committee.metrics.sampling import Interval


def variance_of_mean(
    values: NDArray[np.floating[Any]], groups: NDArray[Any] | None = None
) -> tuple[float, int]:
    """Return the variance of the mean of values `[N]`, and its degrees of freedom.

    Parameters
    ----------
    values : float array [N]
    groups : array [N], optional
        The rows of one group are dependent; groups are independent.
    """
    residuals = values - values.mean(dtype=float)
    if groups is not None:
        residuals = np.bincount(np.unique(groups, return_inverse=True)[1], residuals).astype(float)
    freedom = max(1, len(residuals) - 1)
    return float((residuals**2).sum()) * len(residuals) / freedom / len(values) ** 2, freedom


def mean_interval(
    values: NDArray[np.floating[Any]], groups: NDArray[Any] | None = None, level: float = 0.95
) -> Interval:
    """Return the mean of values `[N]`, such as paired differences, with the interval of Student's t.

    Parameters
    ----------
    values : float array [N]
    groups : array [N], optional
        The rows of one group are dependent; groups are independent.
    level : float
        Nominal coverage of the interval.

    See Also
    --------
    committee.metrics.sampling.Sample.mean : The interval of a metric, whose values have limits.
    committee.scoring.gain : The difference of two metrics, with corrections for few rows.

    Examples
    --------
    Ten values, as single rows, and as five groups of two equal rows:

    >>> import numpy as np
    >>> from committee.metrics.means import mean_interval
    >>> values = np.repeat([0.0, 0.0, 1.0, 1.0, 1.0], 2)
    >>> alone, grouped = mean_interval(values), mean_interval(values, np.arange(10) // 2)
    >>> alone.value, round(alone.high - alone.low, 2), round(grouped.high - grouped.low, 2)
    (0.6, 0.74, 1.36)
    """
    require_some("metrics", len(values), "row")
    mean = float(values.mean(dtype=float))
    variance, freedom = variance_of_mean(values, groups)
    reach = float(stdtrit(freedom, (1 + level) / 2)) * variance**0.5
    return Interval(mean, mean - reach, mean + reach)

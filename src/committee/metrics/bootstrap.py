"""Bootstrap intervals of metrics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from committee.metrics.classification import METRICS, get_metric, values
from committee.metrics.summaries import Floats, Rows


@dataclass(frozen=True)
class Interval:
    """A value and its bootstrap interval.

    Attributes
    ----------
    value : float
        The metric of all rows.
    low, high : float
        The ends of the interval.

    See Also
    --------
    intervals : Compute metrics with their intervals.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import intervals
    >>> labels = np.arange(90) % 3
    >>> guess = np.where(np.arange(90) % 10 == 0, (labels + 1) % 3, labels)
    >>> log_probs = np.log(np.eye(3)[guess] * 0.7 + 0.1)
    >>> found = intervals(log_probs, labels, names=["accuracy"])["accuracy"]
    >>> found.value, found.low < 0.9 < found.high
    (0.9, True)
    """

    value: float
    low: float
    high: float


def intervals(
    log_probs: ArrayLike,
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    names: Iterable[str] | None = None,
) -> dict[str, Interval]:
    """Return metrics with bootstrap intervals.

    Parameters
    ----------
    log_probs : float array [N, C]
        Normalized log-probabilities.
    labels : int array [N]
        Class indices.
    groups : array [N], optional
        Groups that are resampled as a whole.
    resamples : int
        Number of resamples.
    level : float
        Nominal coverage of the intervals.
    seed : int
        Seed of the resamples.
    names : iterable of str, optional
        Keys of `METRICS`; all of them by default.

    Notes
    -----
    The intervals are percentiles of the resampled values, shifted so that their mean is the value of all
    rows. Without the shift a calibration error, which noise can only increase, would be outside of its own
    interval. Ends are clipped to the range of the metric.
    """
    rows = Rows.read(log_probs, labels)
    names = tuple(METRICS if names is None else names)
    found, draws = values(rows.total(), names), rows.resampled(groups, resamples, seed)
    return {name: interval(found[name], get_metric(name).function(draws), level, name) for name in names}


def interval(value: float, draws: Floats, level: float, name: str) -> Interval:
    """Return the interval of one metric from its resampled values `[R]`; see `intervals`."""
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]) - draws.mean() + value
    most = {"log_loss": np.inf, "brier": 2.0}.get(name, 1.0)
    return Interval(value, float(min(max(low, 0.0), value)), float(max(min(high, most), value)))

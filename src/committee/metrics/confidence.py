"""Confidence intervals of metrics."""

from __future__ import annotations

from collections.abc import Iterable

from numpy.typing import ArrayLike

from committee.metrics.classification import METRICS, get_metric
from committee.metrics.metric import intervals_of
from committee.metrics.sampling import Interval
from committee.metrics.summaries import Rows


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
    """Return metrics with confidence intervals.

    Parameters
    ----------
    log_probs : float array [N, C]
        Normalized log-probabilities.
    labels : int array [N]
        Class indices.
    groups : array [N], optional
        Groups of dependent rows, such as images of one patient. Intervals are then those of independent
        groups.
    resamples : int
        Number of resamples for `ece` and `ece_mass`; the other intervals are formulas.
    level : float
        Nominal coverage of the intervals.
    seed : int
        Seed of the resamples.
    names : iterable of str, optional
        Keys of `METRICS`; all of them by default.

    Notes
    -----
    `accuracy` and `recall_weighted` have the exact interval of Clopper and Pearson, which covers at least as
    often as the level says; with groups, it uses the effective number of rows (Korn and Graubard 1998). The
    other metrics are means of rates: their variance is that of the influences of rows, or of groups (DeLong
    et al. 1988 for the area under the ROC curve), and Wilson's score interval uses the number of rows whose
    rate would be as certain. So no interval has a width of zero. The interval of the log-loss assumes that no
    loss is larger than the largest one of the rows, or than that of a uniform prediction. An infinite
    log-loss has the interval from 0 to infinity.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import intervals
    >>> log_probs = np.log(np.full((20, 2), 0.01) + 0.98 * np.eye(2)[np.arange(20) % 2])
    >>> found = intervals(log_probs, np.arange(20) % 2, names=["accuracy", "auroc"])
    >>> [(each.value, round(each.low, 2), each.high) for each in found.values()]
    [(1.0, 0.83, 1.0), (1.0, 0.83, 1.0)]
    """
    metrics = map(get_metric, METRICS if names is None else names)
    return intervals_of(
        Rows.read(log_probs, labels), metrics, groups=groups, resamples=resamples, level=level, seed=seed
    )

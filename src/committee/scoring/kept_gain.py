"""The share of a teacher's gain over a student trained alone that a distilled student keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from committee.metrics.means import variance_of_mean
from committee.metrics.metric import Metric
from committee.metrics.sampling import Interval

LEVEL = 0.95


@dataclass(frozen=True)
class KeptGain:
    """What a teacher adds to a student; all values are positive where the first of two models is better.

    Attributes
    ----------
    gain : Interval
        Of the distilled student over the student trained alone.
    teacher_gain : Interval
        Of the teacher over the student trained alone.
    kept : Interval or None
        The ratio of the two; None unless the interval of `teacher_gain` is above zero.

    See Also
    --------
    kept_gain : Returns this.
    """

    gain: Interval
    teacher_gain: Interval
    kept: Interval | None


def row_scores(outputs: NDArray[np.float32], labels: NDArray[Any], metric: Metric) -> NDArray[np.float64]:
    """Return the score of each row, float64 `[N]`, of which larger is better, and whose mean is the metric.

    It is the metric plus the influence of the row. So metrics that are no means, such as the root of a mean
    squared error, are compared to first order.

    Parameters
    ----------
    outputs : float32 array [N, C]
    labels : int64 array [N], or float64 array [N, T]
    metric : Metric

    Examples
    --------
    >>> from committee.scoring.kept_gain import row_scores
    >>> from committee.tasks import Regression
    >>> row_scores([1.0, 5.0], [1.0, 2.0], Regression().metric("rmse")).mean().round(3)
    np.float64(-2.121)
    """
    rows = metric.read(outputs, labels)
    scores: NDArray[np.float64] = metric.sign * (metric.function(rows.whole) + metric.influence(rows))
    return scores


def mean_estimate(values: NDArray[np.float64], groups: NDArray[np.int64] | None = None) -> Interval:
    """Return the mean of scores of several seeds on the same rows, with an interval for new rows and seeds.

    Parameters
    ----------
    values : float64 array [S, N]
    groups : int64 array [N], optional
        Rows of one group are not independent.

    Notes
    -----
    The variance is the sum of that over rows (of means over seeds) and that over seeds (of means over rows);
    their interaction is in both, so the interval is slightly too wide. Its degrees of freedom are those of
    Satterthwaite (1946): three seeds that differ much give a wide interval. The variance over seeds is
    unknown for a single one, and left out.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.scoring.kept_gain import mean_estimate
    >>> found = mean_estimate(np.array([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]]))
    >>> found.value, found.low < 0
    (0.625, True)
    """
    mean = float(values.mean())
    parts = [variance_of_mean(values.mean(0), groups)]
    seeds = len(values)
    if seeds > 1:
        parts.append((values.mean(1).var(ddof=1) / seeds, seeds - 1))
    total = sum(variance for variance, _ in parts)
    spread = sum(variance**2 / freedom for variance, freedom in parts)
    freedom = total**2 / spread if spread else 1.0
    half = float(stdtrit(freedom, (1 + LEVEL) / 2) * np.sqrt(total)) if total else 0.0
    return Interval(mean, mean - half, mean + half)


def kept_gain(
    teacher: NDArray[np.float64],
    scratch: NDArray[np.float64],
    distilled: NDArray[np.float64],
    groups: NDArray[np.int64] | None = None,
) -> KeptGain:
    """Compare students that were trained with and without a teacher.

    Parameters
    ----------
    teacher : float64 array [N]
        Score of each row; see `row_scores`.
    scratch, distilled : float64 array [S, N]
        Scores of students with S seeds, trained alone and by the teacher.
    groups : int64 array [N], optional
        Rows of one group are not independent.

    Notes
    -----
    The interval of the ratio follows from its linear approximation (delta method).

    Examples
    --------
    >>> import numpy as np
    >>> from committee.scoring.kept_gain import kept_gain
    >>> rows = np.arange(1000)
    >>> alone, taught = ((rows % 10 >= each).astype(float)[None] for each in (4, 2))
    >>> round(kept_gain((rows % 10 >= 1).astype(float), alone, taught).kept.value, 3)
    0.667
    """
    gains, most = distilled - scratch, teacher - scratch
    gain, whole = mean_estimate(gains, groups), mean_estimate(most, groups)
    if whole.low <= 0:
        return KeptGain(gain, whole, None)
    ratio = gain.value / whole.value
    return KeptGain(gain, whole, mean_estimate(ratio + (gains - ratio * most) / whole.value, groups))

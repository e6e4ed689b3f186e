"""Intervals of means of errors: positive numbers, whose distribution is often skewed."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from committee.metrics.sampling import Floats, Sample

UNSEEN = 2.0
"""Rows that are added to the variance, as far from the mean as zero is: no interval has zero width."""
BIAS = 25.0
"""A sample of n rows shows about `1 / (1 + BIAS / n)` of the skewness of squared errors."""


def relative_ends(influence: Floats, sample: Sample) -> tuple[float, float]:
    """Return the ends of the interval of a mean of positive terms, divided by the mean.

    Parameters
    ----------
    influence : float array [N]
        Influences of the rows on the mean, divided by it: term / mean - 1.
    sample : Sample
        How the rows were drawn.

    Notes
    -----
    The lower end is that of Student's t for the logarithm of the mean. The upper end is at least that of the
    logarithm, and that of a t statistic whose skewness is removed by the transformation of Hall (1992). In
    small samples of skewed terms, the mean and its standard error are usually underestimated together,
    because the rare large terms are missing. The skewness is underestimated too, so it is multiplied by
    1 + 25 / n (25 is the factor with which the intervals of mean squares of 50 normal, exponential and t
    distributed errors cover 95%; see `benchmarks/statistics_numbers.py`).

    References
    ----------
    P. Hall (1992). On the removal of skewness by transformation. Journal of the Royal Statistical Society B
    54, 221-228.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics.positive import relative_ends
    >>> from committee.metrics.sampling import Sample
    >>> errors = np.square(np.random.default_rng(0).normal(size=200))
    >>> low, high = relative_ends(errors / errors.mean() - 1, Sample(200))
    >>> round(low, 2), round(high, 2)
    (0.84, 1.2)
    """
    count = sample.units
    if count < 2:
        return 0.0, float("inf")
    error = float(np.hypot(sample.error(influence), np.sqrt(_unseen(sample))))
    quantile = float(stdtrit(count - 1, (1 + sample.level) / 2))
    plain = float(np.exp(quantile * error))
    shape = _skewness(influence, error, sample)
    return 1 / plain, max(plain, 1 - error * _without_skewness(-quantile, shape))


def ratio_ends(numerator: Floats, denominator: Floats, sample: Sample) -> tuple[float, float]:
    """Return the ends of the interval of a ratio of two means of positive terms, divided by the ratio.

    The distances of the ends from the two means are added like standard errors, on a logarithmic scale
    (method of variance estimates recovery).

    Parameters
    ----------
    numerator, denominator : float array [N]
        Influences as for `relative_ends`.
    sample : Sample
        How the rows were drawn.

    References
    ----------
    G. Y. Zou, A. Donner (2008). Construction of confidence limits about effect measures: a general approach.
    Statistics in Medicine 27, 1693-1702.
    """
    if sample.units < 2:
        return 0.0, float("inf")
    both = [np.log(relative_ends(each, sample)) for each in (numerator, denominator)]
    shared = _correlation(numerator, denominator, sample)
    ends = []
    for side in (0, 1):
        first, other = abs(both[0][side]), abs(both[1][1 - side])
        square = first**2 + other**2 - 2 * shared * first * other
        ends.append(np.sqrt(max(float(square), _unseen(sample))))
    return float(np.exp(-ends[0])), float(np.exp(ends[1]))


def _unseen(sample: Sample) -> float:
    """Return the relative variance that is added; rows of one group count less than independent ones."""
    return UNSEEN / (sample.rows * sample.units)


def _correlation(first: Floats, other: Floats, sample: Sample) -> float:
    """Return the correlation of the means of two influences."""
    parts = [
        each if sample.unit is None else np.bincount(sample.unit, each).astype(float)
        for each in (first, other)
    ]
    norm = float(np.sqrt(np.square(parts[0]).sum() * np.square(parts[1]).sum()))
    return float(parts[0] @ parts[1]) / norm if norm else 0.0


def _skewness(influence: Floats, error: float, sample: Sample) -> float:
    """Return the estimated skewness of a mean of independent rows or groups with this standard error."""
    sums = influence if sample.unit is None else np.bincount(sample.unit, influence)
    third = float((sums**3).sum()) / sample.rows**3 / error**3
    return max(third, 0.0) * (1 + BIAS / sample.units)


def _without_skewness(quantile: float, skewness: float) -> float:
    """Return the quantile of a t statistic from the one that it has without skewness (Hall's inverse)."""
    if skewness < 1e-6:
        return quantile
    root = np.cbrt(1 + skewness * (quantile - skewness / 6))
    return float(3 / skewness * (root - 1))

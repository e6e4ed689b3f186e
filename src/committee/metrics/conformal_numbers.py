"""Split conformal prediction of numbers (Lei et al. 2018): intervals with a guaranteed coverage.

The width of the intervals follows from the errors of labeled rows that no model was fitted on. This module
does not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.errors import DataError
from committee.metrics.conformal import check_coverage, thresholds
from committee.metrics.means import mean_interval
from committee.metrics.sampling import Interval, Sample

Floats = NDArray[np.float64]


def residual_scores(values: ArrayLike, truth: ArrayLike, spread: ArrayLike | None = None) -> Floats:
    """Return the nonconformity score of each true number, float64 `[N, T]`; larger means less plausible.

    Parameters
    ----------
    values, truth : float array [N] or [N, T]
        Predicted and true numbers.
    spread : float array, optional
        A positive number for each value, such as the standard deviation of the members, or the predicted one.
        The score is the absolute error divided by it (Lei et al. 2018, section 5.2); without it, the absolute
        error. It may depend on the image only, not on the true number.

    Raises
    ------
    DataError
        The shapes do not match, or a spread is not above zero.

    Examples
    --------
    >>> from committee.metrics import residual_scores
    >>> residual_scores([1.0, 4.0], [2.0, 2.0], spread=[0.5, 4.0]).ravel().tolist()
    [2.0, 0.5]
    """
    first, other = _columns(values), _columns(truth)
    if first.shape != other.shape:
        raise DataError(
            "intervals",
            expected="as many numbers as values",
            got=f"{list(other.shape)} for {list(first.shape)}",
        )
    return np.abs(other - first) / _width(spread, first)


def interval_limits(scores: ArrayLike, coverages: Sequence[float], groups: ArrayLike | None = None) -> Floats:
    """Return the score of each target that a new row does not exceed, for several coverages, `[K, T]`.

    It is the `ceil((n + 1) * coverage)`-th smallest score of n rows, and infinite if there are too few: a
    coverage of 0.95 needs 19 rows. With groups, the new row is one of a new group; see
    `committee.metrics.threshold`. Each target has the coverage by itself, not all of them together.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import interval_limits
    >>> interval_limits(np.arange(1.0, 20.0), [0.9, 0.95, 0.96]).ravel().tolist()
    [18.0, 19.0, inf]
    """
    for coverage in coverages:
        check_coverage(coverage)
    return np.stack([thresholds(each, coverages, groups) for each in _columns(scores).T], axis=1)


def prediction_intervals(
    values: ArrayLike, limit: ArrayLike, spread: ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Return the lower and the upper end of the interval of each value, float64 `[N, T]` each.

    Parameters
    ----------
    values : float array [N] or [N, T]
        Predicted numbers.
    limit : float or float array [T]
        A row of `interval_limits`.
    spread : float array, optional
        That of these values, if the scores were divided by one.

    Examples
    --------
    >>> from committee.metrics import prediction_intervals
    >>> low, high = prediction_intervals([1.0, 4.0], 2.0, spread=[0.5, 4.0])
    >>> low.ravel().tolist(), high.ravel().tolist()
    ([0.0, -4.0], [2.0, 12.0])
    """
    middle = _columns(values)
    reach = np.asarray(limit, np.float64) * _width(spread, middle)
    return middle - reach, middle + reach


def coverage_and_width(
    values: ArrayLike,
    truth: ArrayLike,
    limit: ArrayLike,
    spread: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> list[dict[str, Interval]]:
    """Return the coverage and the mean width of the intervals of labeled rows, for each target.

    Returns
    -------
    list of dict
        For each target, `coverage` and `mean_width` (in the unit of the target) with 95% intervals. Absolute
        intervals have one width. Of intervals without ends, because there were too few calibration rows, the
        width is infinite.

    See Also
    --------
    interval_limits : The limits, from other rows than these.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import coverage_and_width
    >>> truth = np.arange(10.0)
    >>> (found,) = coverage_and_width(np.full(10, 4.0), truth, 3.0)
    >>> found["coverage"].value, found["mean_width"].value
    (0.7, 6.0)
    """
    scores = residual_scores(values, truth, spread)
    low, high = prediction_intervals(values, limit, spread)
    unit = None if groups is None else np.unique(groups, return_inverse=True)[1]
    sample, held = Sample(len(scores), unit), scores <= np.asarray(limit, np.float64)
    return [
        {"coverage": sample.proportion(held[:, target]), "mean_width": _mean_width(width, unit)}
        for target, width in enumerate((high - low).T)
    ]


def _mean_width(width: Floats, unit: NDArray[np.int64] | None) -> Interval:
    if np.isinf(width).any() or (width == width[0]).all():
        return Interval(*[float(width[0])] * 3)
    return mean_interval(width, unit)


def _columns(values: ArrayLike) -> Floats:
    array = np.asarray(values, np.float64)
    return array[:, None] if array.ndim == 1 else array


def _width(spread: ArrayLike | None, values: Floats) -> Floats:
    """Return the spread `[N, T]` of values, 1 without one."""
    if spread is None:
        return np.ones(values.shape)
    found = _columns(spread)
    if found.shape != values.shape or not (np.isfinite(found).all() and (found > 0).all()):
        wrong = "" if found.shape != values.shape else f", {int((~(found > 0)).sum())} of them not above zero"
        raise DataError(
            "intervals",
            expected=f"a spread above zero for each value {list(values.shape)}",
            got=f"{list(found.shape)}{wrong}",
            todo="Add a small number to the spread, the same for all rows, if members agree exactly.",
        )
    return found

"""Coverage and size of prediction sets on labeled rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.metrics.conformal import Floats, label_scores, set_sizes
from committee.metrics.sampling import Interval, Sample


def coverage_and_size(
    log_probs: NDArray[np.floating],
    labels: NDArray[np.int64],
    limits: Sequence[float | Floats],
    method: str,
    groups: ArrayLike | None = None,
) -> list[dict[str, Interval]]:
    """Return the coverage and the mean size of the sets of labeled rows.

    Parameters
    ----------
    log_probs : float array [N, C]
    labels : int64 array [N]
        Class indices.
    limits : sequence of float or float array [C]
        Thresholds of the sets, such as those of `SetTable.limit`.
    method : {"lac", "aps", "raps", "classwise"}
        Kind of the sets.
    groups : array [N], optional
        Groups of dependent rows; the intervals are then those of independent groups.

    Returns
    -------
    list of dict
        For each limit, `coverage` and `mean_size` with 95% intervals.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import coverage_and_size
    >>> log_probs = np.log([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1]])
    >>> (found,) = coverage_and_size(log_probs, np.array([0, 2]), [0.7], "lac")
    >>> found["coverage"].value, found["mean_size"].value
    (0.5, 1.5)
    """
    sample, classes = Sample(len(labels), groups), log_probs.shape[1]
    scores, is_top = label_scores(log_probs, labels, method), log_probs.argmax(axis=1) == labels
    result = []
    for limit, size in zip(limits, set_sizes(log_probs, limits, method), strict=True):
        held = (scores <= np.broadcast_to(limit, classes)[labels]) | is_top
        coverage = sample.proportion(held)
        result.append({"coverage": coverage, "mean_size": sample.mean(size, float(classes), least=1.0)})
    return result

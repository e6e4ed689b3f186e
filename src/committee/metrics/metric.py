"""Metrics as values: a function of rows, its direction, the influence of each row, and its interval."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.errors import UnknownNameError, nearest
from committee.metrics.sampling import Interval, Sample

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Metric:
    """A metric: a function of a summary of rows, and its direction.

    Attributes
    ----------
    name : str
        Its key in the metrics of a task.
    function : callable
        From the summary of rows (`rows.whole`) to a number.
    higher_is_better : bool
        Whether larger values are better.
    influence : callable
        From rows to a float array `[N]`: N times the derivative of the metric with respect to the weight of
        each row. It sums to 0, and its mean over other rows is the difference of their metric to first order.
    interval : callable
        From rows, a `Sample`, a number of resamples and their seed to an `Interval`.
    read : callable
        From outputs `[N, C]` and labels to rows, which it checks.
    in_points : bool
        Whether differences are shown in percentage points.
    has_unit : bool
        Whether values have the unit of what is predicted, so that tables show significant digits of them.
    by_class : bool
        Whether the metric depends on the predicted classes only, so that no temperature changes it.
    is_count : bool
        Whether differences are counts of rows, so that there is an exact test.

    See Also
    --------
    committee.metrics.get_metric : Look up a metric by name.
    committee.metrics.evaluate : Compute metrics of log-probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import get_metric, summary
    >>> accuracy = get_metric("accuracy")
    >>> float(accuracy.function(summary(np.log([[0.75, 0.25], [0.5, 0.5]]), [0, 1])))
    0.5
    """

    name: str
    function: Callable[[Any], Floats]
    higher_is_better: bool
    influence: Callable[[Any], Floats]
    interval: Callable[[Any, Sample, int, int], Interval]
    read: Callable[[Any, Any], Any]
    in_points: bool = False
    has_unit: bool = False
    by_class: bool = False
    is_count: bool = False

    @property
    def sign(self) -> int:
        """1 if larger values are better, and -1 otherwise."""
        return 1 if self.higher_is_better else -1


def named(name: str, metrics: Mapping[str, Metric]) -> Metric:
    """Return a metric of a task.

    Raises
    ------
    UnknownNameError
        There is no metric of this name; the message suggests the nearest one.
    """
    if name not in metrics:
        raise UnknownNameError(
            "metric", expected=f"one of {', '.join(metrics)}", got=f"'{name}'", todo=nearest(name, metrics)
        )
    return metrics[name]


def intervals_of(
    rows: Any,
    metrics: Iterable[Metric],
    *,
    groups: ArrayLike | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return metrics of rows with confidence intervals; see `committee.metrics.intervals`."""
    sample = Sample(len(rows), groups, level)
    return {metric.name: metric.interval(rows, sample, resamples, seed) for metric in metrics}

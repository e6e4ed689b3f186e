"""Metrics of all tasks by name."""

from __future__ import annotations

from committee.base.objectives import is_custom
from committee.metrics import class_images, classification, distributions, regression, segmentation
from committee.metrics.metric import Metric, named

METRICS: dict[str, Metric] = {
    **classification.METRICS,
    **segmentation.METRICS,
    "boundary_f1": class_images.METRICS["boundary_f1"],
    **regression.METRICS,
    **distributions.METRICS,
}
"""The metrics of all tasks; no two tasks use one name for different metrics.

That of boundaries is of whole images, and the others of rows."""


def get_metric(name: str) -> Metric:
    """Return a metric of any task by name; a function `python:module.function` is imported.

    Raises
    ------
    UnknownNameError
        There is no metric of this name; the message suggests the nearest one.
    UsageError
        The function cannot be imported.

    Examples
    --------
    >>> from committee.metrics import get_metric
    >>> metric = get_metric("log_loss")
    >>> metric.name, metric.higher_is_better
    ('log_loss', False)
    """
    return classification.get_metric(name) if is_custom(name) else named(name, METRICS)

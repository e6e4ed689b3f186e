"""What ranks the reports of a store, by what its models predict. This module does not import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from committee.metrics import classification, distributions, regression, segmentation
from committee.metrics.metric import Metric


class Ranking(NamedTuple):
    """The metrics of a task in tables of models.

    Attributes
    ----------
    default : str
        The metric that ranks by default, which is the first objective of the task.
    beside : str
        The metric that wide tables show beside it.
    own : str
        A metric that no other task has.
    metrics : mapping of str to Metric
        All metrics of the task.
    """

    default: str
    beside: str
    own: str
    metrics: Mapping[str, Metric]


RANKINGS = (
    Ranking("log_loss", "accuracy", "f1_macro", classification.METRICS),
    Ranking("log_loss", "mean_iou", "mean_iou", segmentation.METRICS),
    Ranking("rmse", "r2", "rmse", {**regression.METRICS, **distributions.METRICS}),
)
"""That of classes is the first, and holds for reports without scores."""


def ranking_of(reports: Sequence[Mapping[str, Any]]) -> Ranking:
    """Return the ranking of reports, by the metrics that they have: one store has one task."""
    known = {name for each in reports for part in ("cross_fitted", "metrics") for name in each.get(part, {})}
    return next((each for each in RANKINGS if each.own in known), RANKINGS[0])

"""Metrics of pixels that have classes: those of classes that need no ranking of all pixels, IoU and Dice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from committee.metrics import classification
from committee.metrics.averages import ClassAverage
from committee.metrics.classification import averaged
from committee.metrics.metric import Metric
from committee.metrics.summaries import Summary

SHARED = ("accuracy", "balanced_accuracy", "log_loss", "brier", "ece")
"""Metrics of classes that are used of pixels too."""

METRICS: dict[str, Metric] = {
    "mean_iou": averaged("mean_iou", "iou", "macro"),
    "mean_dice": averaged("mean_dice", "f1", "macro"),
    **{name: classification.METRICS[name] for name in SHARED},
}
"""Metrics of rows that are pixels; the mean Dice coefficient is the macro average of F1."""


def per_class(found: Summary, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return `iou`, `dice` and the number of labels `n` of each class."""
    columns = (*(ClassAverage(rate, "macro").by_class(found) for rate in ("iou", "f1")), found.actual)
    return [
        {"class": name, "iou": float(iou), "dice": float(dice), "n": int(count)}
        for name, iou, dice, count in zip(class_names, *columns, strict=True)
    ]

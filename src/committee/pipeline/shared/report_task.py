"""The task of the reports of a store, which says what ranks models by default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from committee.predictions.target_types import CLASSES
from committee.tasks.base import TASKS, Task, task_for


def task_of_reports(reports: Sequence[dict[str, Any]]) -> Task:
    """Return the task whose default objective is among the metrics of reports; without any, classification.

    The reports of one store have one task, since a store has one data set.
    """
    known = {name for each in reports for part in ("cross_fitted", "metrics") for name in each.get(part, {})}
    tasks = map(TASKS.make, TASKS.names())
    return next((task for task in tasks if task.objectives[0] in known), task_for(CLASSES))


def default_metric(reports: Sequence[dict[str, Any]]) -> str:
    """Return the metric that ranks models by default: log-loss of classes, root mean square of numbers."""
    return task_of_reports(reports).objectives[0]

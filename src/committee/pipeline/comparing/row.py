"""One line of a comparison: a file of a model, with its scores and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from committee.metrics.metric import Metric
from committee.pipeline.comparing.served import Served
from committee.pipeline.shared.reports import Report, value_of
from committee.tasks.base import Task, task_of_model


@dataclass(frozen=True, eq=False)
class Row:
    """A file of a model in a comparison.

    Attributes
    ----------
    key : str
        The name of the model; for a file of lower precision, with the folder of its format.
    kind : str
        What a person calls it, such as `vote` or `int8 student`.
    report : dict
        The `metrics.json` of the model.
    file : Path
        The exported file, or the folder of a format that writes a folder.
    is_exact : bool
        Whether the probabilities of the file are those of the model.
    lost : dict or None
        What an inexact file loses on held-out rows, such as `log_loss_lost` and `accuracy_lost`, with
        intervals; None if that is not measured.
    size_mb : float
        Size of the file, with the weights beside it.
    served : Served
        Latency and memory.
    scores : dict
        By metric: value and interval, on the same rows for all lines.
    equivalent : dict
        The deep-ensemble equivalent, `value` or `note`.
    training_s : float or None
        Seconds of training of the model and of all that it is made of.
    differences : dict
        Paired differences of metrics from other lines, by their keys.
    task : Task
        What the model predicts; classes by default.
    """

    key: str
    kind: str
    report: Report
    file: Path
    is_exact: bool
    lost: Mapping[str, Mapping[str, float]] | None
    size_mb: float
    served: Served
    scores: Mapping[str, Mapping[str, float]]
    equivalent: Mapping[str, Any]
    training_s: float | None
    differences: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    task: Task = field(default_factory=lambda: task_of_model(None))

    @property
    def objective(self) -> Metric:
        """The metric by which files are chosen: log-loss, or the root mean squared error."""
        return self.task.metric(self.task.objectives[0])

    @property
    def guarded(self) -> Metric:
        """The metric that people look at: accuracy, or the root mean squared error."""
        return self.task.metric(self.task.guarded)

    @property
    def metrics(self) -> list[Metric]:
        """Both of them."""
        return list({metric.name: metric for metric in (self.guarded, self.objective)}.values())

    def held_out(self, metric: Metric) -> float | None:
        """Return a cross-fitted metric of the model, worse by what the file loses."""
        value = value_of(self.report, "cross_fitted", metric.name)
        if value is None or self.lost is None:
            return value
        return value - metric.sign * self.lost[f"{metric.name}_lost"]["value"]

    @property
    def is_known(self) -> bool:
        """Whether the score of the file on held-out rows is known."""
        return self.is_exact or self.lost is not None

    @property
    def latency_ms(self) -> float:
        """Median milliseconds for one image per call."""
        return self.served.latency["1"].median

    @property
    def is_steady(self) -> bool:
        """Whether the rounds of the measurement agree."""
        return all(each.is_steady for each in self.served.latency.values())

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "name": self.report["name"],
            "key": self.key,
            "kind": self.kind,
            "file": self.file.as_posix(),
            "exact": self.is_exact,
            "lost": None if self.lost is None else dict(self.lost),
            "networks": self.report["latency_ms"].get("networks"),
            "scores": {metric: dict(score) for metric, score in self.scores.items()},
            "deep_ensemble_equivalent": dict(self.equivalent),
            **self.served.to_json(),
            "file_mb": self.size_mb,
            "training_s": self.training_s,
            "differences": {key: dict(value) for key, value in self.differences.items()},
        }

"""One line of a comparison: a file of a model, with its scores and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from committee.pipeline.comparing.served import Served
from committee.pipeline.shared.reports import Report, value_of


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
        What an inexact file loses on held-out rows, `log_loss_lost` and `accuracy_lost` with intervals; None
        if that is not measured.
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
        Paired differences of accuracy and log-loss from other lines, by their keys.
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

    @property
    def log_loss(self) -> float | None:
        """Cross-fitted log-loss of the model, with what the file loses."""
        return self._held_out("log_loss", 1.0)

    @property
    def accuracy(self) -> float | None:
        """Cross-fitted accuracy of the model, without what the file loses."""
        return self._held_out("accuracy", -1.0)

    def _held_out(self, metric: str, sign: float) -> float | None:
        value = value_of(self.report, "cross_fitted", metric)
        if value is None or self.lost is None:
            return value
        return value + sign * self.lost[f"{metric}_lost"]["value"]

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

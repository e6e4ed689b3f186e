"""One line of a comparison: a file of a model, with its scores and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from committee.pipeline.comparing.served import Served
from committee.pipeline.shared.reports import Report


@dataclass(frozen=True, eq=False)
class Row:
    """A file of a model in a comparison.

    Attributes
    ----------
    key : str
        The name of the model; for a file of lower precision, with the folder of its format.
    kind : str
        The combiner of an ensemble, or the plan that trained a member.
    report : dict
        The `metrics.json` of the model.
    file : Path
        The exported file, or the folder of a format that writes a folder.
    is_exact : bool
        Whether the probabilities of the file are those of the model.
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
    size_mb: float
    served: Served
    scores: Mapping[str, Mapping[str, float]]
    equivalent: Mapping[str, Any]
    training_s: float | None
    differences: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)

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
            "networks": self.report["latency_ms"].get("networks"),
            "scores": {metric: dict(score) for metric, score in self.scores.items()},
            "deep_ensemble_equivalent": dict(self.equivalent),
            **self.served.to_json(),
            "file_mb": self.size_mb,
            "training_s": self.training_s,
            "differences": {key: dict(value) for key, value in self.differences.items()},
        }

"""Rows of comparisons with given figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from committee.models.timing import Timing
from committee.pipeline.comparing.row import Row
from committee.pipeline.comparing.served import Served
from committee.tasks import Regression


def score(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02}


def a_row(
    name: str,
    loss: float,
    ms: float,
    size: float,
    *,
    kind: str = "weighted",
    exact: bool = True,
    lost: float | None = None,
    accuracy: float = 0.9,
    spread: float = 0.0,
) -> Row:
    """A row whose accuracy, log-loss and costs are given."""
    latency = {size: Timing(ms, 2 * ms, spread, 3) for size in ("1", "32")}
    scores = {"accuracy": score(accuracy), "log_loss": score(loss), "ece": score(0.05)}
    report: dict[str, Any] = {
        "name": name,
        "kind": "member" if kind == "single" else "ensemble",
        "rows": "oof",
        "cross_fitted": scores,
        "gain": {},
        "latency_ms": {"median": 1000.0, "networks": 3},
        "size_mb": 1000.0,
    }
    memory = {"start": 50.0, "1": 80.0, "32": 90.0}
    key = name if exact else f"{name} (onnx_int8)"
    differences = {
        other: {"accuracy": score(0.01), "log_loss": score(-0.1)} for other in ("single", "best", "fast")
    }
    return Row(
        key,
        kind,
        report,
        Path("deploy", name, "onnx" if exact else "onnx_int8", "model.onnx"),
        exact,
        None if lost is None else {"log_loss_lost": score(lost), "accuracy_lost": score(lost)},
        size,
        Served(latency, memory),
        scores,
        {"value": 2.5, "note": ""},
        12.0,
        differences,
    )


@pytest.fixture
def make_row() -> Callable[..., Row]:
    """The function that makes a row."""
    return a_row


@pytest.fixture
def number_rows() -> list[Row]:
    """Rows of models that predict numbers."""

    def make(name: str, rmse: float, ms: float, size: float, **options: Any) -> Row:
        row = a_row(name, 0.0, ms, size, **options)
        scores = {"rmse": score(rmse), "mae": score(rmse - 0.1), "r2": score(0.9)}
        return replace(
            row,
            scores=scores,
            report={**row.report, "cross_fitted": scores},
            differences={other: {"rmse": score(-0.1)} for other in ("single", "best")},
            lost=row.lost and {"rmse_lost": score(0.02), "rmse": score(rmse)},
            task=Regression(),
        )

    return [
        make("best", 0.30, 30.0, 40.0),
        make("single", 0.40, 8.0, 10.0, kind="single"),
        make("single", 0.40, 2.0, 3.0, kind="single", exact=False, lost=0.02),
    ]


@pytest.fixture
def rows() -> list[Row]:
    """Best first; the reports have other latencies and sizes than the files."""
    return [
        a_row("best", 0.30, 30.0, 40.0, accuracy=0.93),
        a_row("fast", 0.35, 10.0, 20.0, kind="cascade", accuracy=0.92),
        a_row("single", 0.40, 8.0, 10.0, kind="single"),
        a_row("single", 0.41, 2.0, 3.0, kind="single", exact=False),
    ]

"""The best models of a store, by the ranking of the leaderboard and within a budget."""

from __future__ import annotations

from typing import Any

import pytest

from committee.pipeline.shared.best import best_ensemble, best_member, is_within
from committee.pipeline.shared.records import model_source
from committee.pipeline.shared.reports import read_reports
from committee.recipe.model import CostBudget
from committee.store.commit import commit, write_json
from committee.store.layout import Store

FIGURES = {
    "cheap": (0.5, 0.8, 5.0, 1.0),
    "expensive": (0.3, 0.7, 50.0, 9.0),
    "unscored": (None, None, 1.0, 1.0),
}
"""Name -> cross-fitted log-loss and accuracy, milliseconds, megabytes."""


def report(name: str, loss: float | None, accuracy: float | None, ms: float, mb: float) -> dict[str, Any]:
    scores = {"log_loss": loss, "accuracy": accuracy}
    return {
        "name": name,
        "kind": "ensemble" if name.startswith("vote_") else "member",
        "inference": "refit",
        "rows": "oof" if loss is not None else None,
        "cross_fitted": {
            key: {"value": value, "low": value, "high": value} for key, value in scores.items() if value
        },
        "metrics": {},
        "gain": {},
        "latency_ms": {"median": ms},
        "size_mb": mb,
    }


def write(store: Store, name: str, content: dict[str, Any]) -> None:
    ensemble = name in store.ensembles()
    folder = store.ensemble_metrics(name) if ensemble else store.member_metrics(name)
    with commit(folder, kind="metrics", fingerprint=model_source(store, name)) as new:
        write_json(new / "metrics.json", content)


@pytest.fixture
def evaluated(store: Store) -> Store:
    for name, figures in FIGURES.items():
        with commit(store.checkpoint(name, "refit"), kind="fit", fingerprint=name):
            pass
        with commit(store.ensemble(f"vote_{name}"), kind="ensemble", fingerprint=name, members=[name]):
            pass
        write(store, name, report(name, *figures))
        write(store, f"vote_{name}", report(f"vote_{name}", *figures))
    return store


@pytest.mark.parametrize(
    ("metric", "budget", "expected"),
    [
        ("log_loss", None, "expensive"),
        ("log_loss", CostBudget(), "expensive"),
        ("accuracy", None, "cheap"),
        ("log_loss", CostBudget(max_latency_ms=20), "cheap"),
        ("log_loss", CostBudget(max_size_mb=9), "expensive"),
        ("log_loss", CostBudget(max_size_mb=8.9), "cheap"),
        ("log_loss", CostBudget(max_latency_ms=2), "unscored"),
    ],
)
def test_the_best_within_the_budget(evaluated: Store, metric, budget, expected) -> None:
    member, ensemble = best_member(evaluated, metric, budget), best_ensemble(evaluated, metric, budget)
    assert member is not None and ensemble is not None
    assert (member["name"], ensemble["name"]) == (expected, f"vote_{expected}")
    assert is_within(member, budget)


def test_none_where_nothing_fits_or_nothing_was_evaluated(evaluated: Store, tmp_path) -> None:
    assert best_member(evaluated, budget=CostBudget(max_latency_ms=0.5)) is None
    assert best_ensemble(Store(tmp_path / "empty")) is None


def test_a_report_of_earlier_networks_is_not_considered(evaluated: Store, caplog) -> None:
    with commit(evaluated.checkpoint("expensive", "refit"), kind="fit", fingerprint="trained again"):
        pass
    found = best_member(evaluated)
    assert found is not None and found["name"] == "cheap"
    assert "expensive has changed since it was evaluated: run committee evaluate" in caplog.messages


@pytest.mark.parametrize(
    "change",
    [
        {"name": "cheap"},
        {"size_mb": "9"},
        {"latency_ms": {}},
        {"cross_fitted": {"log_loss": {"value": 0.1}}},
        {"gain": {"log_loss": {"proven": True, "text": "better"}}},
        {"inference": 3},
    ],
)
def test_a_damaged_report_is_excluded(evaluated: Store, caplog, change) -> None:
    write(evaluated, "expensive", {**report("expensive", *FIGURES["expensive"]), **change})
    names = {each["name"] for each in read_reports(evaluated)}
    assert names == {"cheap", "unscored", *(f"vote_{name}" for name in FIGURES)}
    assert any(message.startswith("expensive is excluded: ") for message in caplog.messages)

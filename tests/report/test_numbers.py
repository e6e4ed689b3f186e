"""The leaderboard, the details and the recommendation of models that predict numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from committee.errors import UnknownNameError
from committee.pipeline.comparing.candidates import candidates
from committee.pipeline.shared.best import best_models
from committee.pipeline.shared.rankings import RANKINGS
from committee.pipeline.shared.records import model_source
from committee.pipeline.shared.reports import rank
from committee.report.details import tables
from committee.report.leaderboard import leaderboard, table
from committee.report.recommendation import recommend
from committee.store.commit import commit, write_json
from committee.store.layout import Store
from committee.tasks.base import TASKS


def scores(rmse: float, r2: float) -> dict[str, dict[str, float]]:
    return {
        name: {"value": value, "low": 0.9 * value, "high": 1.1 * value}
        for name, value in (("rmse", rmse), ("r2", r2))
    }


def report(name: str, rmse: float, r2: float, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "member",
        "inference": "refit",
        "rows": "oof",
        "cross_fitted": scores(rmse, r2),
        "metrics": scores(rmse, r2),
        "fit": {},
        "gain": {},
        "latency_ms": {"median": 1.25},
        "size_mb": 3.0,
        **more,
    }


def test_each_task_has_a_ranking_by_its_first_objective() -> None:
    tasks = map(TASKS.make, TASKS.names())
    assert {(task.objectives[0], *task.metrics, *task.further) for task in tasks} == {
        (each.default, *each.metrics) for each in RANKINGS
    }


SMALL = "2e-06 [1.8e-06, 2.2e-06]"


def test_the_smallest_error_is_first_and_small_units_have_digits() -> None:
    listed = [report("far", 12345.678, 0.5), report("near", 2e-6, 0.9)]
    assert [each["name"] for each in rank(listed, "rmse")] == ["near", "far"]
    assert [each["name"] for each in rank(listed, "r2")] == ["near", "far"]
    columns, rows = table(listed, wide=True)
    assert columns[3:5] == ["rmse cross-fitted", "r2 cross-fitted"]
    assert rows[0][3:5] == ["1.235e+04 [1.111e+04, 1.358e+04]", "0.5000 [0.4500, 0.5500]"]
    assert table(listed)[1][1][2] == SMALL


def test_the_details_have_targets_and_numbers_of_members() -> None:
    ensemble = report(
        "mean",
        2e-6,
        0.9,
        kind="ensemble",
        fit={"rmse": 1e-6},
        per_target=[{"target": name, **scores(2e-6, 0.9)} for name in ("age", "height")],
        members=["a"],
        weights={"a": 1.0},
        contributions={"a": 3e-7},
        calibrate="none",
        calibration=None,
        disagreement=[
            {"sample_id": "x", "label": [4.0, 1.5], "values": {"a": [3.0, 1.25]}, "disagreement": 0.5}
        ],
    )
    found = {title: (columns, rows) for title, columns, rows in tables(ensemble)}
    assert found["Metrics"][1][0] == ["rmse", SMALL, "1e-06", SMALL]
    assert found["Targets of the test split"][1][2] == ["height", "rmse", SMALL]
    assert found["Members"] == (
        ["member", "weight", "increase of the rmse without it"],
        [["a", "1.0000", "3e-07"]],
    )
    title = "Samples on which the members disagree most, among those that the ensemble was fitted on"
    assert found[title] == (
        ["sample", "true value", "values of members", "disagreement"],
        [["x", "4, 1.5", "a: 3, 1.25", "0.5000"]],
    )


@pytest.fixture
def evaluated(trained: Store) -> Store:
    for name, rmse in (("test_resnet", 3.5), ("test_vit", 2.5)):
        place = trained.member_metrics(name)
        with commit(place, kind="metrics", fingerprint=model_source(trained, name)) as folder:
            write_json(folder / "metrics.json", report(name, rmse, 0.5, data={}))
    return trained


def test_a_store_of_numbers_is_ranked_by_its_task(evaluated: Store, cli: Callable[..., Any]) -> None:
    assert [each["name"] for each in leaderboard(evaluated)] == ["test_vit", "test_resnet"]
    found = recommend(evaluated)
    assert found is not None and found.text == (
        "Use test_vit, the best single member: rmse 2.5 [2.25, 2.75] cross-fitted, 1.2 ms for an image and "
        "3.0 MB."
    )
    with pytest.raises(UnknownNameError) as raised:
        leaderboard(evaluated, "accuracy")
    assert (
        str(raised.value) == "--metric: expected one of rmse, mae, r2, spearman, nll, crps, got 'accuracy'."
    )
    assert "best rmse first" in cli("leaderboard", "--store", evaluated.root).out
    assert best_models(evaluated) == ["test_vit"]
    assert [each["name"] for each in candidates(evaluated)] == ["test_vit"]

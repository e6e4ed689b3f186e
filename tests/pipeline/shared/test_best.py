"""The best models of a store, by the ranking of the leaderboard and within a budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from committee.pipeline.shared.best import best_models
from committee.pipeline.shared.draws import DRAWS, write_draws
from committee.pipeline.shared.records import model_source
from committee.pipeline.shared.reports import read_reports
from committee.pipeline.shared.winner import order
from committee.pipeline.stages.compress import Compress
from committee.pipeline.stages.export import Export
from committee.recipe.load import load_recipe
from committee.recipe.model import CostBudget
from committee.scoring.draws import Draws
from committee.scoring.gains import Gain
from committee.store.commit import commit, write_json
from committee.store.layout import Store

FIGURES = {
    "cheap": (0.5, 0.8, 5.0, 1.0),
    "expensive": (0.3, 0.7, 50.0, 9.0),
    "unscored": (None, None, 1.0, 1.0),
}
"""Name -> cross-fitted log-loss and accuracy, milliseconds, megabytes."""


GAIN = Gain("log_loss", 0.1, 0.0495, 0.0, 500, "best single member (cheap)").to_json()


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


def write(store: Store, name: str, content: dict[str, Any], draws: NDArray[np.float32] | None = None) -> None:
    ensemble = name in store.ensembles()
    folder = store.ensemble_metrics(name) if ensemble else store.member_metrics(name)
    with commit(folder, kind="metrics", fingerprint=model_source(store, name)) as new:
        write_json(new / "metrics.json", content)
        if draws is not None:
            write_draws(new, Draws(tuple(content["gain"]), draws, draws))


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
    assert best_models(evaluated, metric, budget) == [f"vote_{expected}", expected]


def test_an_ensemble_of_one_member_is_that_member(evaluated: Store) -> None:
    for name in FIGURES:
        content = {**report(f"vote_{name}", *FIGURES[name]), "members": [name]}
        write(evaluated, f"vote_{name}", content)
    assert best_models(evaluated) == ["expensive"]


@pytest.mark.parametrize("stage", [Export(), Compress()])
def test_stages_take_the_best_within_the_budget(evaluated: Store, stage) -> None:
    recipe = load_recipe(
        None, ["pruning.cost_budget.max_size_mb=8.9", "exports.formats=[onnx]", "compress.methods=[float16]"]
    )
    facts = stage.plan(recipe, evaluated).facts
    files = facts["packages" if "packages" in facts else "compressed"]
    assert [each["name"] for each in files] == ["vote_cheap", "cheap"]


def test_a_report_of_earlier_networks_is_not_considered(evaluated: Store, caplog) -> None:
    with commit(evaluated.checkpoint("expensive", "refit"), kind="fit", fingerprint="trained again"):
        pass
    assert best_models(evaluated)[-1] == "cheap"
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
        {"gain": {"log_loss": GAIN}},
    ],
)
def test_a_damaged_report_is_excluded(evaluated: Store, caplog, change) -> None:
    write(evaluated, "expensive", {**report("expensive", *FIGURES["expensive"]), **change})
    names = {each["name"] for each in read_reports(evaluated)}
    assert names == {"cheap", "unscored", *(f"vote_{name}" for name in FIGURES)}
    assert any(message.startswith("expensive is excluded: ") for message in caplog.messages)


def test_gains_of_a_store_have_limits_that_hold_together(evaluated: Store, caplog) -> None:
    """Of three gains of 2.02 standard errors, none is proven; one alone is."""
    draws = np.random.default_rng(0).normal(size=(3, 1, 1000)).astype(np.float32)
    for name, drawn in zip(FIGURES, draws, strict=True):
        write(
            evaluated,
            f"vote_{name}",
            {**report(f"vote_{name}", *FIGURES[name]), "gain": {"log_loss": GAIN}},
            drawn,
        )
    found = {each["name"]: each["gain"] for each in read_reports(evaluated) if each["gain"]}
    assert set(found) == {f"vote_{name}" for name in FIGURES}
    for gains in found.values():
        assert 2.03 < gains["log_loss"]["critical"] < 2.3 and not gains["log_loss"]["proven"]
        assert gains["log_loss"]["text"] == "no proven gain"
    (one,) = read_reports(evaluated, "vote_cheap")
    assert one["gain"] == found["vote_cheap"]
    for name in ("cheap", "unscored"):
        write(evaluated, f"vote_{name}", report(f"vote_{name}", *FIGURES[name]))
    (alone,) = read_reports(evaluated, "vote_expensive")
    assert alone["gain"]["log_loss"]["proven"] and alone["gain"]["log_loss"]["critical"] < 1.97
    assert not caplog.messages
    write(evaluated, "vote_expensive", {**alone, "gain": {"log_loss": GAIN, "accuracy": GAIN}}, draws[0])
    assert not read_reports(evaluated, "vote_expensive")
    file = evaluated.ensemble_metrics("vote_expensive") / DRAWS
    assert caplog.messages == [
        f"vote_expensive is excluded: {file}: expected draws [2, 2, R], got float32 [2, 1, 1000]. "
        "Run: committee evaluate"
    ]


def test_ties_go_to_the_faster_ensemble(evaluated: Store) -> None:
    """`cheap` is ten times as fast: it wins if its score is within a paired standard error of the best."""
    draws = np.random.default_rng(0).normal(size=(2, 1, 1000)).astype(np.float32)
    for size, expected in ((0.5, "vote_cheap"), (0.05, "vote_expensive")):
        for name, drawn in zip(("cheap", "expensive"), size * draws, strict=True):
            content = {**report(f"vote_{name}", *FIGURES[name]), "gain": {"log_loss": GAIN}}
            write(evaluated, f"vote_{name}", content, drawn)
        assert best_models(evaluated)[0] == expected


def test_a_cascade_after_the_vote_of_its_members(evaluated: Store) -> None:
    draws = np.random.default_rng(0).normal(size=(2, 1, 1000)).astype(np.float32)
    vote = {"method": "soft_voting", "members": ["cheap", "expensive"], "gain": {"log_loss": GAIN}}
    cascade = {"conditional": {}, "members": ["cheap"], "gain": {"log_loss": GAIN}}
    write(evaluated, "vote_cheap", {**report("vote_cheap", *FIGURES["cheap"]), **vote}, 0.5 * draws[0])
    for size, first in ((0.5, "vote_cheap"), (0.01, "vote_expensive")):
        content = {**report("vote_expensive", *FIGURES["expensive"]), **cascade}
        write(evaluated, "vote_cheap", {**report("vote_cheap", *FIGURES["cheap"]), **vote}, size * draws[0])
        write(evaluated, "vote_expensive", content, size * draws[1])
        listed = [each["name"] for each in order(evaluated, read_reports(evaluated), "log_loss")]
        assert next(name for name in listed if name.startswith("vote_")) == first
        assert listed[-2:] == ["unscored", "vote_unscored"]

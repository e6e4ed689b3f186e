"""Savings of a stored cascade, measured on images, and the note in its exported file."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from committee.combiners import cascade
from committee.combiners._thresholds import Stages
from committee.exporters.onnx import Onnx
from committee.images.dataset import open_dataset
from committee.models.ensemble import Ensemble
from committee.pipeline.run import run_verb
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.package import DENSE
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.stages.evaluate import Evaluate
from committee.pipeline.stages.export import read_status
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.store.layout import Store

CASCADES = (
    "runs.score_ensemble.methods=[soft_voting, {combiner: cascade, name: by_cost}, "
    "{combiner: cascade, members: [test_vit, test_resnet]}]"
)


def recipe(*overrides: str) -> Recipe:
    return load_recipe(None, ["device=cpu", *overrides])


def half_exit(stages: Stages, *_: object) -> np.ndarray:
    """Return thresholds with which half of the rows exit at the first stage, as tiny networks do not."""
    return np.full(len(stages.cost), int(np.median(stages.passed[0])))


@pytest.fixture
def built(trained_with: Callable[..., Store], monkeypatch: pytest.MonkeyPatch) -> Store:
    def build(store: Store) -> None:
        outcome = run_verb("build-ensemble", recipe(CASCADES), store)
        assert outcome.exit_code == 0, outcome.failed

    monkeypatch.setattr(cascade, "search", half_exit)
    return trained_with("conditional", build)


def test_members_are_ordered_by_measured_cost(built: Store) -> None:
    facts = ensemble_facts(built, "by_cost")
    costs = facts["spec"]["inner"]["costs"]
    assert set(costs) == {"test_resnet", "test_vit"}
    assert all(cost["latency_ms"] > 0 and cost["size_mb"] > 0.5 for cost in costs.values())
    order = facts["notes"]["order"]
    assert order == sorted(order, key=lambda name: costs[name]["latency_ms"])


def test_infer_runs_each_network_on_the_remaining_images(built: Store) -> None:
    module, facts = load_model(built, "cascade_ensemble")
    assert isinstance(module, Ensemble)
    dataset = open_dataset(None, built, img_sizes=[32], folds=0, seed=0)
    images = dataset.images(dataset.rows("test"))
    seen: dict[str, int] = {}
    for name, member in zip(facts["members"], module.members, strict=True):
        member.register_forward_hook(lambda _, given, __, name=name: seen.update({name: len(given[0])}))
    with torch.inference_mode():
        answer = module.infer(images)
        lazy = dict(seen)
        dense = module(images)
    torch.testing.assert_close(answer, dense, atol=1e-4, rtol=1e-4)
    first, second = facts["notes"]["order"]
    assert lazy[first] == len(images) and 0 < lazy[second] < len(images)
    assert seen[second] == len(images)


def test_the_evaluation_reports_the_savings(built: Store) -> None:
    Evaluate().run(recipe(), built)
    path = built.ensemble_metrics("cascade_ensemble") / "metrics.json"
    report = json.loads(path.read_text("utf-8"))
    found = report["conditional"]
    order = report["notes"]["order"]
    assert found["used_members"][order[0]] == 1.0 and 0 < found["used_members"][order[1]] < 1
    assert found["exit_rates"] == pytest.approx(
        [1 - found["used_members"][order[1]], found["used_members"][order[1]]]
    )
    assert 0.8 < found["accuracy_kept"]["cross_fitted"] < 1.2 and found["accuracy_kept"]["test"] > 0.7
    single, batch = found["latency_ms"]
    assert (single["batch"], batch["batch"]) == (1, 32)
    for timed in (single, batch):
        assert 0 < timed["median"] <= timed["p95"] and timed["dense_mean"] > 0 and timed["mean"] > 0
    photo, small = report["latency_ms"], report["latency_ms"]["network_sized"]
    assert small["mean"] == single["mean"]
    more = photo["resizing"]["32 px crop"] - small["resizing"]["32 px crop"]
    assert photo["mean"] - small["mean"] == pytest.approx(more) == pytest.approx(photo["p95"] - small["p95"])
    assert "conditional" not in json.loads(
        (built.ensemble_metrics("soft_voting_ensemble") / "metrics.json").read_text("utf-8")
    )


def test_refits_and_fold_networks_are_compared_on_test(built: Store) -> None:
    Evaluate().run(recipe(), built)
    path = built.ensemble_metrics("soft_voting_ensemble") / "metrics.json"
    report = json.loads(path.read_text("utf-8"))
    found = report["by_networks"]
    assert set(found) == {"refit", "folds"}
    assert found["refit"]["log_loss"] == pytest.approx(report["metrics"]["log_loss"]["value"])
    assert found["folds"]["log_loss"] != found["refit"]["log_loss"]
    assert 0 < found["refit"]["confidence"] < 1


def test_an_exported_graph_without_branches_has_a_note_that_it_saves_nothing(
    built: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Onnx, "branches", False)
    outcome = run_verb(
        "export", recipe("exports.formats=[onnx, checkpoint]"), built, models=["cascade_ensemble"]
    )
    assert outcome.exit_code == 0, outcome.failed
    status = read_status(built.deploy("cascade_ensemble"))
    assert status["formats"]["onnx"]["note"] == DENSE and "note" not in status["formats"]["checkpoint"]


def test_a_cascade_of_ensembles_is_evaluated_too(trained: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cascade, "search", half_exit)
    nested = (
        "runs.score_ensemble.methods=[{combiner: compose, name: nested, final: {combiner: cascade}, "
        "inputs: {one: {combiner: subset, members: [test_vit]}, all: soft_voting}}]"
    )
    assert run_verb("build-ensemble", recipe(nested), trained).failed == {}
    assert Evaluate().run(recipe(), trained).failed == {}
    report = json.loads((trained.ensemble_metrics("nested") / "metrics.json").read_text("utf-8"))
    assert "exit_rates" not in report["conditional"]
    assert all(0 < share <= 1 for share in report["conditional"]["used_members"].values()), (
        "a network runs once"
    )


def test_costs_reach_a_cascade_inside_another_combiner(trained: Store) -> None:
    inside = (
        "runs.score_ensemble.methods=[{combiner: compose, name: nested, final: soft_voting, "
        "inputs: {one: cascade, all: soft_voting}}, {combiner: pruned, name: few, inner: cascade}]"
    )
    assert run_verb("build-ensemble", recipe(inside), trained).failed == {}
    assert set(ensemble_facts(trained, "nested")["spec"]["inner"]["inputs"]["one"]["costs"]) == {
        "test_resnet",
        "test_vit",
    }
    assert ensemble_facts(trained, "few")["spec"]["inner"]["inner"]["costs"]["test_vit"]["latency_ms"] > 0

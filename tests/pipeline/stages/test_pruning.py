"""Pruning in a store: measured costs, the chosen members, and the Pareto front."""

from __future__ import annotations

import json

import pytest

from committee.combiners.base import load
from committee.errors import UsageError
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.stages.evaluate import Evaluate
from committee.pipeline.stages.pruning import Pruning
from committee.pruning.base import PRUNERS
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.store.layout import Store

ALL = f"pruning.methods=[{', '.join(PRUNERS.names())}]"


def recipe(*overrides: str) -> Recipe:
    return load_recipe(None, ["device=cpu", *overrides])


def test_each_method_makes_an_ensemble_of_the_members_it_keeps(trained: Store) -> None:
    outcome = Pruning().run(recipe(ALL, "pruning.target_size=1"), trained)
    names = [f"pruned_{name}" for name in PRUNERS.names()]
    assert (outcome.done, outcome.exit_code) == (names, 0)
    for name in names:
        facts = ensemble_facts(trained, name)
        assert facts["members"] == facts["notes"]["chosen"]["members"] and len(facts["members"]) == 1
        assert set(facts["candidates"]) == {"test_resnet", "test_vit"}
        assert load(trained.ensemble(name)).member_names == tuple(facts["members"])
    report = json.loads(trained.pruning_report().read_text("utf-8"))
    assert report["methods"] == names and set(report["costs"]) == {"test_resnet", "test_vit"}
    assert all(set(each) == {"members", "size", "fit", "latency_ms", "size_mb"} for each in report["front"])
    assert set(names) <= set(Evaluate().run(recipe(), trained).done)


def test_budgets_that_nothing_meets_fail_by_name(trained: Store) -> None:
    outcome = Pruning().run(recipe("pruning.cost_budget.max_size_mb=0.001"), trained)
    assert outcome.done == [] and outcome.exit_code == 1
    reason = outcome.failed["pruned_greedy_forward"]
    assert reason.startswith(
        "pruned: expected a subset of the members within 0.001 MB, got none: the closest is 'test_"
    )


def test_a_plan_times_nothing(trained: Store) -> None:
    plan = Pruning().plan(recipe(ALL), trained).facts
    assert plan["ensembles"][0] == f"pruned_{PRUNERS.names()[0]}" and plan["n"] == 191
    assert trained.ensembles() == ()


def test_without_a_section(trained: Store) -> None:
    with pytest.raises(UsageError) as caught:
        Pruning().run(recipe(), trained)
    assert str(caught.value) == (
        "pruning: expected an enabled section, got none. "
        "Add the section to the recipe, or name a method: --method greedy_forward"
    )

"""Pruned ensembles: cross-validated choice of the size, and budgets."""

from __future__ import annotations

import numpy as np
import pytest

from committee.combiners.pruned import Pruned
from committee.errors import DataError, UsageError
from committee.predictions.table import Predictions
from committee.pruning.base import PRUNERS
from committee.scoring.scores import score

COSTS = {
    "linear": {"latency_ms": 1.0, "size_mb": 2.0},
    "bayes": {"latency_ms": 2.0, "size_mb": 1.0},
    "near": {"latency_ms": 4.0, "size_mb": 8.0},
    "tree": {"latency_ms": 8.0, "size_mb": 4.0},
}
METHODS = pytest.mark.parametrize("method", PRUNERS.names())


@METHODS
def test_a_path_says_score_and_costs_at_each_size(method: str, digits: Predictions) -> None:
    notes = Pruned(method, costs=COSTS, floor=0.0).fit(digits).notes()
    assert [entry["size"] for entry in notes["path"]] == [1, 2, 3, 4]
    for entry in notes["path"]:
        assert entry["latency_ms"] == sum(COSTS[name]["latency_ms"] for name in entry["members"])
        assert entry["size_mb"] == sum(COSTS[name]["size_mb"] for name in entry["members"])
        assert entry["meets"] and entry["log_loss"] > 0
    best = min(notes["path"], key=lambda entry: entry["log_loss"])
    assert notes["chosen"]["members"] == best["members"]


def test_a_target_size(digits: Predictions) -> None:
    rule = Pruned(target_size=2).fit(digits)
    assert rule.notes()["chosen"]["size"] == 2 and len(rule.restrict_to_used().member_names) == 2
    assert "instead_of" not in rule.notes()["chosen"]


def test_a_target_over_the_budget_gives_way(digits: Predictions) -> None:
    chosen = Pruned(target_size=4, max_latency_ms=6, costs=COSTS).fit(digits).notes()["chosen"]
    assert (
        chosen["latency_ms"] <= 6 and chosen["instead_of"] == "4 members: the path has no subset of that size"
    )
    chosen = Pruned(target_size=4, max_latency_ms=9, costs=COSTS).fit(digits).notes()["chosen"]
    assert chosen["latency_ms"] <= 9 and chosen["instead_of"] == "4 members: they exceed the budgets"


@METHODS
def test_budgets_are_kept(method: str, digits: Predictions) -> None:
    rule = Pruned(method, max_latency_ms=5, max_size_mb=9, costs=COSTS, floor=0.0).fit(digits)
    kept = rule.restrict_to_used().member_names
    assert sum(COSTS[name]["latency_ms"] for name in kept) <= 5
    assert sum(COSTS[name]["size_mb"] for name in kept) <= 9
    assert rule.notes()["left_out"] == ["tree"]


def test_budgets_that_nothing_meets(digits: Predictions) -> None:
    with pytest.raises(DataError) as caught:
        Pruned(max_latency_ms=0.5, max_size_mb=3, costs=COSTS).fit(digits)
    assert str(caught.value) == (
        "pruned: expected a subset of the members within 0.5 ms and 3 MB, got none: the closest is "
        "'linear' alone with 1 ms and 2 MB. Raise the budget, or train a smaller backbone."
    )


def test_what_cannot_be(digits: Predictions) -> None:
    with pytest.raises(UsageError) as caught:
        Pruned(target_size=0).fit(digits)
    assert str(caught.value) == "pruned.target_size: expected at least 1, got 0."
    with pytest.raises(UsageError) as caught:
        Pruned(max_size_mb=9).fit(digits)
    assert str(caught.value) == (
        "pruned.costs: expected the costs of each member, which budgets need, got none. "
        "Give costs: {member: {latency_ms: ..., size_mb: ...}}."
    )
    with pytest.raises(UsageError) as caught:
        Pruned(costs={"near": COSTS["near"]}).fit(digits)
    assert str(caught.value) == (
        "pruned.costs: expected latency_ms and size_mb for each member, got none for 'tree'."
    )
    with pytest.raises(UsageError) as caught:
        Pruned("forward").fit(digits)
    assert str(caught.value).startswith(f"pruned.method: expected one of {', '.join(PRUNERS.names())}, got")


def test_more_than_there_are(digits: Predictions) -> None:
    chosen = Pruned(target_size=9).fit(digits).notes()["chosen"]
    assert chosen["instead_of"] == "9 members: the path has no subset of that size"


def test_one_member_is_kept(digits: Predictions) -> None:
    rule = Pruned().fit(digits.select(["near"]))
    assert rule.notes()["chosen"]["members"] == ["near"]


@pytest.mark.slow
@METHODS
def test_no_path_is_better_than_choosing_on_other_rows_allows(method: str) -> None:
    """Random members: a choice among them is better than chance only on the rows of the choice."""
    flattering, honest, whole = [], [], []
    members = 6 if method == "all_subsets" else 20
    for seed in range(6):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 2, 160)
        rows = Predictions.from_logits(
            rng.normal(size=(members, 160, 2)),
            members=[f"m{k}" for k in range(members)],
            class_names=["x", "y"],
            labels=labels,
        )
        rule, scores = score(Pruned(method, metric="accuracy", target_size=3, floor=0.0), rows)
        chosen = next(entry for entry in rule.notes()["path"] if entry["size"] == 3)
        flattering.append(chosen["fit"])
        honest.append(chosen["accuracy"])
        whole.append(scores.cross_fitted["accuracy"].value)
    assert abs(np.mean(honest) - 0.5) < 0.04 and abs(np.mean(whole) - 0.5) < 0.04
    if method.startswith("greedy"):
        assert np.mean(flattering) > 0.58


@METHODS
def test_members_that_say_the_same_are_kept_once(method: str, digits: Predictions) -> None:
    one = digits.select(["bayes"])
    twins = Predictions.from_logits(
        np.repeat(one.logits, 5, axis=0),
        members=list("abcde"),
        class_names=one.class_names,
        labels=one.labels,
        folds=one.folds,
    )
    rule = Pruned(method, floor=0.0).fit(twins)
    assert rule.notes()["chosen"]["size"] == 1
    assert [point["size"] for point in rule.notes()["front"]] == [1]


@pytest.mark.parametrize("limits", [{"max_latency_ms": 0}, {"max_size_mb": -1.0}])
def test_a_budget_of_nothing_is_refused(limits: dict[str, float], digits: Predictions) -> None:
    with pytest.raises(UsageError, match=r"pruned\.max_.*: expected a number above 0"):
        Pruned(costs=COSTS, **limits).fit(digits)

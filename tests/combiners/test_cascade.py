"""Cascades: evaluated samples, targets of the thresholds, and equality of lazy and dense evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from committee.combiners._thresholds import GRID, Stages, search
from committee.combiners.base import build, load, save
from committee.combiners.cascade import Cascade
from committee.combiners.soft_voting import SoftVoting
from committee.errors import UnknownNameError, UsageError
from committee.predictions.table import Predictions

COSTS = {
    "linear": {"latency_ms": 1.0},
    "bayes": {"latency_ms": 2.0},
    "near": {"latency_ms": 4.0},
    "tree": {"latency_ms": 8.0},
}


class CountingQuery:
    """A query of stored logits that counts the samples for which each member is requested."""

    def __init__(self, logits: Tensor) -> None:
        self.logits, self.counts = logits, [0] * len(logits)

    def __call__(self, member: int, rows: Tensor | None) -> Tensor:
        found = self.logits[member] if rows is None else self.logits[member][rows]
        self.counts[member] += len(found)
        return found


def test_members_are_asked_from_cheap_to_dear(digits: Predictions) -> None:
    cascade = Cascade(costs=COSTS).fit(digits)
    assert cascade.notes()["order"] == ["linear", "bayes", "near", "tree"]
    assert cascade.notes()["fit"]["full_cost"] == 15.0


def test_without_costs_the_best_member_is_asked_first(digits: Predictions) -> None:
    order = Cascade().fit(digits).notes()["order"]
    rule = SoftVoting()
    losses = {}
    for place, name in enumerate(digits.members):
        log_probs = rule.combine(digits.logits[place : place + 1])
        losses[name] = -log_probs[np.arange(len(digits)), digits.labels].mean()
    assert order == sorted(losses, key=lambda name: losses[name])


@pytest.mark.parametrize("keep", [0.9, 0.97, 1.0])
def test_the_share_of_the_accuracy_is_kept_on_the_rows_of_the_fit(digits: Predictions, keep: float) -> None:
    cascade = Cascade(costs=COSTS, keep=keep).fit(digits)
    logits = torch.from_numpy(digits.logits)
    everyone = SoftVoting()(logits).argmax(1).numpy() == digits.labels
    kept = (cascade(logits).argmax(1).numpy() == digits.labels).mean() / everyone.mean()
    assert kept >= keep - 1e-9
    assert kept == pytest.approx(cascade.notes()["fit"]["accuracy_kept"])


def test_a_lower_share_costs_less(digits: Predictions) -> None:
    rules = [Cascade(costs=COSTS, keep=keep).fit(digits) for keep in (1, 0.97, 0.9)]
    costs = [rule.notes()["fit"]["mean_cost"] for rule in rules]
    assert costs[0] >= costs[1] >= costs[2] and costs[0] > costs[2]


@pytest.mark.parametrize("most", [1.5, 3.0, 6.0])
def test_a_mean_cost_is_not_exceeded(digits: Predictions, most: float) -> None:
    notes = Cascade(costs=COSTS, mean_cost=most).fit(digits).notes()
    assert notes["fit"]["mean_cost"] <= most


def test_with_a_mean_cost_below_that_of_the_first_member_all_samples_exit_there(digits: Predictions) -> None:
    notes = Cascade(costs=COSTS, mean_cost=0.5).fit(digits).notes()
    assert notes["fit"]["exit_rates"] == [1.0, 0.0, 0.0, 0.0]


def test_lazy_evaluation_equals_dense_evaluation_with_fewer_samples(digits: Predictions) -> None:
    cascade = Cascade(costs=COSTS, keep=0.97).fit(digits)
    logits = torch.from_numpy(digits.logits)
    query = CountingQuery(logits)
    torch.testing.assert_close(cascade.forward_lazy(query), cascade(logits), atol=0, rtol=0)
    exits = torch.bincount(cascade.exits(logits), minlength=4)
    remaining = [len(digits) - int(exits[:stage].sum()) for stage in range(4)]
    order = [digits.members.index(name) for name in cascade.notes()["order"]]
    assert [query.counts[member] for member in order] == remaining
    assert sum(query.counts) < 0.7 * 4 * len(digits)


def test_no_member_runs_after_all_samples_have_exited(digits: Predictions) -> None:
    cascade = Cascade(costs=COSTS, mean_cost=0.5).fit(digits)
    query = CountingQuery(torch.from_numpy(digits.logits))
    cascade.forward_lazy(query)
    assert sorted(query.counts) == [0, 0, 0, len(digits)]


def test_members_that_no_sample_reaches_are_left_out(digits: Predictions, tmp_path) -> None:
    cascade = Cascade(costs=COSTS, mean_cost=0.5).fit(digits)
    narrow = cascade.restrict_to_used()
    assert narrow.member_names == ("linear",)
    save(narrow, tmp_path)
    alone = digits.select(["linear"])
    np.testing.assert_array_equal(load(tmp_path).combine(alone.logits), cascade.combine(digits.logits))


def test_a_given_order(digits: Predictions) -> None:
    cascade = Cascade(members=["near", "linear"], costs=COSTS).fit(digits)
    assert cascade.notes()["order"] == ["near", "linear"]


def test_each_stage_has_its_temperature(digits: Predictions) -> None:
    cascade = Cascade(costs=COSTS).fit(digits)
    first = build("temperature").fit(digits.select(["linear"]))
    assert cascade.notes()["temperatures"][0] == pytest.approx(first.notes()["temperature"], rel=0.05)


def test_one_member_is_a_cascade_of_one(digits: Predictions) -> None:
    alone = digits.select(["near"])
    notes = Cascade().fit(alone).notes()
    assert (notes["order"], notes["thresholds"], notes["fit"]["exit_rates"]) == (["near"], [], [1.0])


def test_what_cannot_be(digits: Predictions) -> None:
    with pytest.raises(UsageError) as caught:
        Cascade(keep=1.2).fit(digits)
    assert str(caught.value) == (
        "cascade.keep: expected a number above 0 and at most 1, got 1.2. "
        "It is a share of the accuracy of all members together."
    )
    with pytest.raises(UsageError) as caught:
        Cascade(mean_cost=0).fit(digits)
    assert str(caught.value) == "cascade.mean_cost: expected a number above 0, got 0."
    with pytest.raises(UsageError) as caught:
        Cascade(costs={"near": {"latency_ms": 1.0}}).fit(digits)
    assert str(caught.value) == (
        "cascade.costs: expected latency_ms for each member, got none for 'tree'. Add it, or leave out costs."
    )
    for members, got in (([], "none"), (["near", "near"], "near, near")):
        with pytest.raises(UsageError) as caught:
            Cascade(members=members).fit(digits)
        assert str(caught.value) == (
            f"cascade.members: expected at least one member, each name once, got {got}. "
            "Leave it out to use all members, the cheapest first."
        )
    with pytest.raises(UnknownNameError) as caught:
        Cascade(members=["nera"]).fit(digits)
    assert str(caught.value) == (
        "cascade.members: expected members among tree, bayes, near, linear, got 'nera'. Did you mean 'near'?"
    )


def random_stages(seed: int, count: int) -> Stages:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 600)
    probabilities = []
    for stage in range(count):
        logits = rng.normal(size=(600, 3))
        logits[np.arange(600), labels] += 1 + stage
        probabilities.append((np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32))
    confidence = np.stack([each.max(axis=1) for each in probabilities])
    correct = np.stack([each.argmax(axis=1) == labels for each in probabilities])
    return Stages.of(confidence, correct, list(rng.uniform(1, 5, count)))


@given(st.integers(0, 10_000), st.integers(2, 5), st.data())
def test_variations_are_what_each_threshold_gives(seed: int, count: int, data: st.DataObject) -> None:
    stages = random_stages(seed, count)
    level = np.array(data.draw(st.lists(st.integers(0, len(GRID) - 1), min_size=count, max_size=count)))
    stage = data.draw(st.integers(0, count - 2))
    rows, exited = np.arange(600), np.zeros(2)
    for before in range(stage):
        rows, more = stages.exit_at(before, level[before], rows)
        exited += more
    accuracy, cost = stages.variations(stage, rows, stages.later(level)[stage], exited)
    together = stages.shared()
    for place in (0, 17, 50, 99, len(GRID) - 1):
        moved = level.copy()
        moved[stage] = place
        exits = stages.exits(moved)
        assert accuracy[place] == pytest.approx(stages.accuracy(exits))
        assert cost[place] == pytest.approx(stages.mean_cost(exits))
        exits = stages.exits(np.full(count, place))
        assert together[0][place] == pytest.approx(stages.accuracy(exits))
        assert together[1][place] == pytest.approx(stages.mean_cost(exits))


@given(st.integers(0, 10_000))
def test_the_search_is_close_to_trying_everything(seed: int) -> None:
    stages = random_stages(seed, 3)
    target = 0.97 * stages.correct[-1].mean()
    found = stages.exits(search(stages, target, None))
    assert stages.accuracy(found) >= target - 1e-9
    places = range(0, len(GRID), 10)
    tried = (stages.exits(np.array([a, b, 0])) for a in places for b in places)
    best = min(stages.mean_cost(exits) for exits in tried if stages.accuracy(exits) >= target)
    assert stages.mean_cost(found) <= 1.1 * best

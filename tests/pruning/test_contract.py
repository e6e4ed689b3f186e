"""The contract of pruning methods, tested for every entry of the family."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from committee.combiners.soft_voting import SoftVoting
from committee.errors import UsageError
from committee.metrics.classification import evaluate
from committee.predictions.table import Predictions
from committee.pruning.base import PRUNERS
from committee.pruning.shared.front import not_dominated
from committee.pruning.shared.subsets import Budgets, Subsets

every = pytest.mark.parametrize("method", PRUNERS.names())
FREE = Budgets({}, {})


def simulated(members: int = 8, rows: int = 400, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, rows)
    shared = rng.normal(size=(rows, 4))
    shared[np.arange(rows), labels] += 2
    noise = np.linspace(0.8, 3, members)[:, None, None]
    logits = shared + rng.normal(size=(members, rows, 4)) * noise
    names = [f"m{k}" for k in rng.permutation(members)]
    return Predictions.from_logits(logits, members=names, class_names=list("wxyz"), labels=labels)


def path_of(
    method: str, rows: Predictions, metric: str = "log_loss"
) -> tuple[Subsets, list[tuple[int, ...]]]:
    subsets = Subsets(rows.select(sorted(rows.members)), metric, FREE)
    return subsets, PRUNERS.make(method).path(subsets)


@every
@pytest.mark.parametrize("metric", ["log_loss", "accuracy", "f1_macro"])
def test_one_subset_a_size_from_small_to_large(method: str, metric: str) -> None:
    subsets, path = path_of(method, simulated(), metric)
    sizes = [len(subset) for subset in path]
    assert sizes == sorted(set(sizes)) and sizes[0] == 1
    assert all(len(set(subset)) == len(subset) for subset in path)
    on_path = {tuple(sorted(subset)) for subset in path}
    assert on_path <= set(subsets.evaluated) | {tuple(range(8))}


@every
def test_the_order_of_members_does_not_matter(method: str) -> None:
    rows = simulated()
    turned = rows.select(rows.members[::-1])
    one, other = (path_of(method, each) for each in (rows, turned))
    assert [one[0].names(subset) for subset in one[1]] == [other[0].names(subset) for subset in other[1]]


@every
def test_one_member_and_identical_ones(method: str) -> None:
    rows = simulated(1)
    assert path_of(method, rows)[1] == [(0,)]
    twins = Predictions.from_logits(
        np.repeat(rows.logits, 3, axis=0),
        members=["b", "a", "c"],
        class_names=rows.class_names,
        labels=rows.labels,
    )
    subsets, path = path_of(method, twins)
    assert subsets.names(path[0]) == ("a",)


@pytest.mark.parametrize("metric", ["log_loss", "accuracy", "f1_macro"])
def test_scores_of_subsets_are_those_of_soft_voting(metric: str) -> None:
    rows = simulated(5)
    subsets = Subsets(rows, metric, FREE)
    for subset in [(0,), (1, 3), (0, 2, 4), (0, 1, 2, 3, 4)]:
        pooled = SoftVoting().combine(rows.logits[list(subset)])
        assert subsets.value(subset) == pytest.approx(
            evaluate(pooled, rows.labels, [metric])[metric], abs=1e-5
        )
    without = subsets.removing((0, 2, 4))
    np.testing.assert_allclose(without, [subsets.score(each) for each in [(2, 4), (0, 4), (0, 2)]], atol=1e-5)


def test_greedy_steps_are_the_best_steps() -> None:
    rows = simulated(5)
    subsets, path = path_of("greedy_forward", rows)
    for before, after in itertools.pairwise(path):
        others = [subsets.score((*before, each)) for each in range(5) if each not in before]
        assert subsets.score(after) == pytest.approx(max(others), abs=1e-6)
    subsets, path = path_of("greedy_backward", rows)
    for after, before in itertools.pairwise(path):
        others = [subsets.score(tuple(each for each in before if each != gone)) for gone in before]
        assert subsets.score(after) == pytest.approx(max(others), abs=1e-6)


def test_all_subsets_are_compared_within_the_budgets() -> None:
    rows = simulated(5)
    subsets, path = path_of("all_subsets", rows)
    assert len(subsets.evaluated) == 31
    for size, best in enumerate(path, 1):
        others = [subsets.score(each) for each in itertools.combinations(range(5), size)]
        assert subsets.score(best) == pytest.approx(max(others), abs=1e-6)
    costs = {name: {"latency_ms": 1.0, "size_mb": 1.0 + k} for k, name in enumerate(subsets.members)}
    within = Subsets(subsets.rows, "log_loss", Budgets(costs, {"size_mb": 4.0}))
    path = PRUNERS.make("all_subsets").path(within)
    assert set(within.evaluated) == {(0,), (1,), (2,), (3,), (0, 1), (0, 2)}
    assert [len(each) for each in path] == [1, 2]
    with pytest.raises(UsageError) as caught:
        path_of("all_subsets", simulated(13))
    assert str(caught.value) == (
        "all_subsets: expected at most 12 members, got 13. Use greedy_forward, or fewer members."
    )


def test_diversity_keeps_a_floor_of_accuracy() -> None:
    rows = simulated(8)
    alone = {name: (rows.logits[k].argmax(1) == rows.labels).mean() for k, name in enumerate(rows.members)}
    subsets = Subsets(rows.select(sorted(rows.members)), "log_loss", FREE)
    path = PRUNERS.make("diversity_max", floor=0.9).path(subsets)
    kept = subsets.names(path[-1])
    assert min(alone[name] for name in kept) >= 0.9 * max(alone.values())
    assert min(alone.values()) < 0.9 * max(alone.values()) and len(kept) > 1
    everyone = PRUNERS.make("diversity_max", floor=0.0).path(subsets)
    assert len(everyone) == 8
    with pytest.raises(UsageError) as caught:
        PRUNERS.make("diversity_max", floor=1.5)
    assert str(caught.value) == "diversity_max.floor: expected a number from 0 to 1, got 1.5."


def test_clusters_are_members_that_err_together() -> None:
    one, other = simulated(1, seed=1), simulated(1, seed=1)
    rng = np.random.default_rng(5)
    logits = [one.logits[0] + rng.normal(size=(400, 4)) * 0.3 for _ in range(3)]
    logits += [other.logits[0][:, [0, 1, 2, 3]] * 0.8 + rng.normal(size=(400, 4)) * 2.0]
    rows = Predictions.from_logits(
        np.stack(logits), members=list("abcd"), class_names=one.class_names, labels=one.labels
    )
    subsets, path = path_of("clustering", rows)
    two = subsets.names(path[1])
    assert "d" in two and len(two) == 2


def test_forward_stays_within_the_budgets_while_it_can() -> None:
    rows = simulated(6)
    costs = {name: {"latency_ms": 1.0 + k, "size_mb": 1.0} for k, name in enumerate(sorted(rows.members))}
    budgets = Budgets(costs, {"latency_ms": 6.0})
    subsets = Subsets(rows.select(sorted(rows.members)), "log_loss", budgets)
    path = PRUNERS.make("greedy_forward").path(subsets)
    assert len(path) == 6
    last = max(place for place, subset in enumerate(path) if subsets.meets(subset))
    assert all(subsets.meets(subset) for subset in path[: last + 1])
    left = set(range(6)) - set(path[last])
    assert not any(subsets.meets((*path[last], each)) for each in left)


def test_the_front_is_what_no_other_subset_beats() -> None:
    rng = np.random.default_rng(0)
    points = [
        {"members": [str(k)], "size": 1, "fit": float(a), "latency_ms": float(b), "size_mb": float(c)}
        for k, (a, b, c) in enumerate(rng.integers(0, 6, (60, 3)))
    ]

    def beats(one: dict, other: dict) -> bool:
        mine, theirs = ([each[key] for key in ("fit", "latency_ms", "size_mb")] for each in (one, other))
        return all(a <= b for a, b in zip(mine, theirs, strict=True)) and mine != theirs

    expected = [each for each in points if not any(beats(other, each) for other in points)]
    found = not_dominated(points, -1)
    keys = [tuple(each[key] for key in ("fit", "latency_ms", "size_mb")) for each in found]
    assert set(keys) == {tuple(each[key] for key in ("fit", "latency_ms", "size_mb")) for each in expected}
    assert len(set(keys)) == len(keys)
    assert not_dominated([], -1) == []

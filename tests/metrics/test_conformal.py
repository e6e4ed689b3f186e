"""Prediction sets: coverage on new rows, and agreement with direct computation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from committee.errors import UsageError
from committee.metrics.conformal import (
    METHODS,
    class_thresholds,
    label_scores,
    nonconformity,
    sets,
    threshold,
)

Simulate = Callable[..., tuple[np.ndarray, np.ndarray]]
both = pytest.mark.parametrize("method", ["lac", "aps", "raps"])


def test_worked_scores() -> None:
    log_probs = np.log(np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]))
    np.testing.assert_allclose(nonconformity(log_probs, "lac"), [[0.5, 0.7, 0.8], [0.9, 0.9, 0.2]])
    # Classes with equal probabilities keep their order.
    np.testing.assert_allclose(
        nonconformity(log_probs, "aps"), [[0.0, 0.5, 0.8], [0.8, 0.9, 0.0]], atol=1e-15
    )


def test_raps_adds_a_penalty_to_the_places_after_the_fifth() -> None:
    log_probs = np.log(np.array([[0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]]))
    plain, penalized = (nonconformity(log_probs, method) for method in ("aps", "raps"))
    np.testing.assert_allclose(penalized - plain, [[0, 0, 0, 0, 0, 0.01, 0.02]], atol=1e-15)


def test_raps_makes_the_largest_sets_smaller() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 100, 4000)
    logits = random.normal(size=(4000, 100))
    logits[np.arange(4000), labels] += 2.5 * random.gamma(2, 1, 4000)
    largest = {}
    for method in ("aps", "raps"):
        limit = threshold(label_scores(logits[:2000], labels[:2000], method), 0.9)
        size = sets(logits[2000:], limit, method).sum(axis=1)
        largest[method] = size.max()
    assert largest["raps"] < largest["aps"]


def test_scores_of_labels_are_those_of_all_classes(
    monkeypatch: pytest.MonkeyPatch, simulated: Simulate
) -> None:
    log_probs, labels = simulated(50, 0)
    monkeypatch.setattr("committee.metrics.conformal._TILE", 40)  # six rows at a time
    for method in METHODS:
        expected = nonconformity(log_probs, method)[np.arange(50), labels]
        np.testing.assert_array_equal(label_scores(log_probs, labels, method), expected)


@given(st.integers(1, 40), st.integers(1, 999), st.integers(0, 1000))
def test_groups_of_one_row_are_rows(n: int, thousandth: int, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=n)
    assert threshold(scores, thousandth / 1000, np.arange(n)) == threshold(scores, thousandth / 1000)


def test_a_worked_threshold_of_groups() -> None:
    scores, groups = np.array([0.1, 0.2, 0.3, 0.9]), ["a", "a", "b", "c"]
    # Weights 1/8, 1/8, 1/4, 1/4, and 1/4 at infinity.
    found = [threshold(scores, coverage, groups) for coverage in (0.125, 0.25, 0.5, 0.75, 0.8)]
    assert found == [0.1, 0.2, 0.3, 0.9, math.inf]


@pytest.mark.parametrize("groups", [19, 30, 100])
def test_the_promise_is_kept_for_new_groups(groups: int) -> None:
    """Scores of groups of different difficulty and size; a quantile of rows covers too little."""
    random, held = np.random.default_rng(0), {"rows": [], "groups": []}
    for _ in range(400):
        unit = np.repeat(np.arange(groups), random.integers(1, 40, groups))
        scores = random.normal(size=len(unit)) + 2 * random.normal(size=groups)[unit]
        new = random.normal(size=20) + 2 * random.normal()
        for name, units in (("rows", None), ("groups", unit)):
            held[name].append((new <= threshold(scores, 0.9, units)).mean())
    errors = np.std(held["groups"]) / 20
    assert 0.9 - 3 * errors < np.mean(held["groups"]) < 0.9 + 1 / groups + 3 * errors
    if groups < 50:
        assert np.mean(held["rows"]) < np.mean(held["groups"])


def test_each_class_is_covered_by_thresholds_of_its_own() -> None:
    random, held = np.random.default_rng(0), []
    difficulty = np.array([0.0, 1.0, 3.0])
    for _ in range(300):
        labels = np.repeat(np.arange(3), [40, 25, 9])
        scores = random.normal(size=len(labels)) + difficulty[labels]
        found = np.array(class_thresholds(scores, labels, 3, [0.8, 0.95]))
        assert np.isinf(found[2, 1]) and np.isfinite(found[:2]).all()
        held.append(random.normal(size=3) + difficulty <= found[:, 0])
    assert (np.mean(held, axis=0) > 0.8 - 3 * 0.023).all() and np.mean(held) < 0.9
    assert class_thresholds(np.ones(3), np.zeros(3, int), 2, [0.5])[1].tolist() == [math.inf]


def test_a_worked_threshold() -> None:
    scores = np.array([0.4, 0.1, 0.3, 0.2])
    # ceil(5 * 0.6) = 3: the third smallest; ceil(5 * 0.9) = 5 is more than the number of scores.
    assert threshold(scores, 0.6) == 0.3 and threshold(scores, 0.9) == math.inf


@given(st.integers(1, 60), st.integers(1, 999), st.integers(0, 1000))
def test_the_threshold_is_the_smallest_that_admits_enough(n: int, thousandth: int, seed: int) -> None:
    scores, coverage = np.random.default_rng(seed).normal(size=n), thousandth / 1000
    needed = math.ceil(round((n + 1) * thousandth / 1000, 9))
    admitting = [each for each in scores if (scores <= each).sum() >= needed]
    assert threshold(scores, coverage) == (min(admitting) if admitting else math.inf)


@both
@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
def test_the_promise_is_kept_on_fresh_rows(method: str, coverage: float, simulated: Simulate) -> None:
    log_probs, labels = simulated(2000, 0)
    scores = nonconformity(log_probs, method)[np.arange(2000), labels]
    fresh, truth = simulated(20_000, 1)
    limit = threshold(scores, coverage)
    held = (nonconformity(fresh, method)[np.arange(len(truth)), truth] <= limit).mean()
    # The variances of the calibration rows and of the new rows.
    assert abs(held - coverage) < 4 * math.sqrt(coverage * (1 - coverage) * (1 / 2000 + 1 / 20_000))
    inside = sets(fresh, limit, method)
    assert inside[np.arange(len(truth)), truth].mean() >= held
    assert inside[np.arange(len(truth)), fresh.argmax(1)].all()


@both
def test_sets_grow_with_coverage(method: str, simulated: Simulate) -> None:
    log_probs, labels = simulated(500, 0)
    scores = nonconformity(log_probs, method)[np.arange(500), labels]
    inside = [sets(log_probs, threshold(scores, each), method) for each in (0.5, 0.8, 0.95, 0.999)]
    assert all((small <= large).all() for small, large in itertools.pairwise(inside))
    assert inside[-1].all()


def test_aps_sets_grow_where_the_model_is_unsure(simulated: Simulate) -> None:
    log_probs, labels = simulated(4000, 2)
    size = {}
    for method in METHODS:
        scores = nonconformity(log_probs, method)[np.arange(4000), labels]
        size[method] = sets(log_probs, threshold(scores, 0.9), method).sum(1)
    unsure = log_probs.max(1) < np.median(log_probs.max(1))
    assert size["lac"].mean() == pytest.approx(size["aps"].mean(), rel=0.02)
    assert size["aps"][unsure].mean() > size["aps"][~unsure].mean() + 0.5


def test_a_model_that_is_almost_certain_keeps_its_order() -> None:
    log_probs = np.array([[-1e-9, -25.0, -30.0], [-1e-9, -26.0, -29.0]])
    for method in METHODS:
        scores = nonconformity(log_probs, method)
        assert (np.diff(scores, axis=1) > 0).all()


@pytest.mark.parametrize("coverage", [0.0, 1.0, 95.0])
def test_a_coverage_that_cannot_be(coverage: float) -> None:
    with pytest.raises(UsageError) as caught:
        threshold(np.ones(3), coverage)
    assert str(caught.value) == (
        f"coverage: expected a number above 0 and below 1, such as 0.95, got {coverage:g}."
    )
    with pytest.raises(UsageError, match="sets: expected one of lac, aps, raps, classwise, got 'rap'"):
        nonconformity(np.zeros((1, 2)), "rap")

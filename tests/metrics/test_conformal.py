"""Prediction sets: coverage on new rows, and agreement with direct computation."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from committee.errors import DataError, UsageError
from committee.metrics.conformal import (
    METHODS,
    SetTable,
    coverage_and_size,
    nonconformity,
    selective,
    sets,
    threshold,
)

both = pytest.mark.parametrize("method", METHODS)


def simulated(rows: int, seed: int, classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    logits = rng.normal(size=(rows, classes)) * 1.5
    logits[np.arange(rows), labels] += 2
    log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return (1.7 * log_probs).astype(np.float32), labels


def test_worked_scores() -> None:
    log_probs = np.log(np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]))
    np.testing.assert_allclose(nonconformity(log_probs, "lac"), [[0.5, 0.7, 0.8], [0.9, 0.9, 0.2]])
    # Classes with equal probabilities keep their order.
    np.testing.assert_allclose(
        nonconformity(log_probs, "aps"), [[0.0, 0.5, 0.8], [0.8, 0.9, 0.0]], atol=1e-15
    )


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
def test_the_promise_is_kept_on_fresh_rows(method: str, coverage: float) -> None:
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
def test_sets_grow_with_coverage(method: str) -> None:
    log_probs, labels = simulated(500, 0)
    scores = nonconformity(log_probs, method)[np.arange(500), labels]
    inside = [sets(log_probs, threshold(scores, each), method) for each in (0.5, 0.8, 0.95, 0.999)]
    assert all((small <= large).all() for small, large in itertools.pairwise(inside))
    assert inside[-1].all()


def test_aps_sets_grow_where_the_model_is_unsure() -> None:
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


@both
def test_a_table_is_the_threshold_at_the_next_thousandth(method: str) -> None:
    log_probs, labels = simulated(300, 3)
    table = SetTable.of(log_probs, labels, rows="val", approximate=False)
    scores = nonconformity(log_probs, method)[np.arange(300), labels]
    assert table.limit(0.9, method) == threshold(scores, 0.9)
    assert table.limit(0.9001, method) == threshold(scores, 0.901)
    assert table.limit(0.9995, method) == math.inf
    again = SetTable.from_json(json.loads(json.dumps(table.to_json())), "it")
    assert again == table


def test_what_a_table_says_of_itself() -> None:
    log_probs, labels = simulated(50, 0)
    exact = SetTable.of(log_probs, labels, rows="val", approximate=False)
    about = SetTable.of(log_probs, labels, rows="oof", approximate=True)
    assert exact.note == "calibrated on 50 rows that no model was fitted on"
    assert about.note == ("approximate: calibrated on 50 cross-fitted rows that were predicted by other fits")


def test_a_table_of_anybodys() -> None:
    good = SetTable.of(*simulated(20, 0), rows="val", approximate=False).to_json()
    for bad in ({}, {**good, "thresholds": {"lac": [0.5], "aps": [0.5]}}, {**good, "n": "many"}):
        with pytest.raises(DataError) as caught:
            SetTable.from_json(bad, "model.onnx")
        assert str(caught.value) == (
            "model.onnx: expected thresholds of prediction sets, got missing or invalid ones. "
            "Build the ensemble again, and export it."
        )


def test_coverage_and_size_have_intervals() -> None:
    log_probs, labels = simulated(400, 5)
    found = coverage_and_size(log_probs, labels, math.inf, "lac")
    assert found["coverage"]["value"] == 1 and found["coverage"]["low"] > 0.98
    assert found["mean_size"] == {"value": 6.0, "low": 6.0, "high": 6.0}
    found = coverage_and_size(log_probs, labels, -1.0, "lac")["coverage"]
    low, high = binom.ppf([0.025, 0.975], 400, found["value"]) / 400
    assert found["low"] == pytest.approx(low, abs=0.006) and found["high"] == pytest.approx(high, abs=0.006)


def test_answering_only_when_sure() -> None:
    log_probs = np.log(np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.55, 0.45]]))
    found = selective(log_probs, np.array([0, 1, 1, 1]), [0.5, 0.7, 0.95])
    assert found == [
        {"confidence": 0.5, "answered": 1.0, "accuracy": 0.5},
        {"confidence": 0.7, "answered": 0.5, "accuracy": 0.5},
        {"confidence": 0.95, "answered": 0.0, "accuracy": None},
    ]


@pytest.mark.parametrize("coverage", [0.0, 1.0, 95.0])
def test_a_coverage_that_cannot_be(coverage: float) -> None:
    with pytest.raises(UsageError) as caught:
        threshold(np.ones(3), coverage)
    assert str(caught.value) == (
        f"coverage: expected a number above 0 and below 1, such as 0.95, got {coverage:g}."
    )
    with pytest.raises(UsageError, match="sets: expected one of lac, aps, got 'raps'"):
        nonconformity(np.zeros((1, 2)), "raps")

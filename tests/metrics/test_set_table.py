"""Tables of prediction sets: limits, descriptions, and the evaluation on labeled rows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from committee.errors import DataError
from committee.metrics.conformal import METHODS, nonconformity, sets, threshold
from committee.metrics.set_coverage import coverage_and_size
from committee.metrics.set_table import CLASS_COVERAGES, SetTable, selective

Simulate = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.mark.parametrize("method", ["lac", "aps", "raps"])
def test_a_table_is_the_threshold_at_the_next_thousandth(method: str, simulated: Simulate) -> None:
    log_probs, labels = simulated(300, 3)
    table = SetTable.of(log_probs, labels, rows="val", approximate=False)
    scores = nonconformity(log_probs, method)[np.arange(300), labels]
    assert table.limit(0.9, method) == threshold(scores, 0.9)
    assert table.limit(0.9001, method) == threshold(scores, 0.901)
    assert table.limit(0.9995, method) == math.inf
    again = SetTable.from_json(json.loads(json.dumps(table.to_json())), "it")
    assert again == table


def test_what_a_table_says_of_itself(simulated: Simulate) -> None:
    log_probs, labels = simulated(50, 0)
    exact = SetTable.of(log_probs, labels, rows="val", approximate=False)
    about = SetTable.of(log_probs, labels, rows="oof", approximate=True)
    assert exact.note == "calibrated on 50 rows that no model was fitted on"
    assert about.note == ("approximate: calibrated on 50 cross-fitted rows that were predicted by other fits")


def test_a_table_of_anybodys(simulated: Simulate) -> None:
    good = SetTable.of(*simulated(20, 0), rows="val", approximate=False).to_json()
    few = {method: [0.5] for method in ("lac", "aps", "raps")}
    for bad in ({}, {**good, "thresholds": few}, {**good, "n": "many"}, {**good, "by_class": [["a"]]}):
        with pytest.raises(DataError) as caught:
            SetTable.from_json(bad, "model.onnx")
        assert str(caught.value) == (
            "model.onnx: expected thresholds of prediction sets, got missing or invalid ones. "
            "Build the ensemble again, and export it."
        )


def test_coverage_and_size_have_intervals(simulated: Simulate) -> None:
    log_probs, labels = simulated(400, 5)
    found = coverage_and_size(log_probs, labels, [math.inf], "lac")[0]
    assert found["coverage"].value == 1 and found["coverage"].low > 0.98
    size = found["mean_size"]
    assert size.value == size.high == 6.0 and 5.9 < size.low < 6
    found = coverage_and_size(log_probs, labels, [-1.0], "lac")[0]["coverage"]
    low, high = binom.ppf([0.025, 0.975], 400, found.value) / 400
    assert found.low == pytest.approx(low, abs=0.006) and found.high == pytest.approx(high, abs=0.006)


@pytest.mark.parametrize("method", METHODS)
def test_coverage_and_size_are_those_of_the_sets(method: str, simulated: Simulate) -> None:
    log_probs, labels = simulated(300, 4, classes=9)
    log_probs[:50] = log_probs[:50].round(0)  # equal probabilities
    table = SetTable.of(log_probs, labels, rows="val", approximate=False)
    limits = [table.limit(coverage, method) for coverage in (0.5, 0.9)]
    found = coverage_and_size(log_probs, labels, limits, method)
    for limit, each in zip(limits, found, strict=True):
        inside = sets(log_probs, limit, method)
        assert each["coverage"].value == inside[np.arange(300), labels].mean()
        assert each["mean_size"].value == inside.sum(axis=1).mean()


def test_the_coverage_of_groups_has_a_wider_interval(simulated: Simulate) -> None:
    log_probs, labels = simulated(20, 5)
    log_probs, labels, groups = (np.repeat(each, 20, 0) for each in (log_probs, labels, np.arange(20)))
    limit = threshold(nonconformity(log_probs, "lac")[np.arange(400), labels], 0.8)
    alone = coverage_and_size(log_probs, labels, [limit], "lac")[0]
    grouped = coverage_and_size(log_probs, labels, [limit], "lac", groups)[0]
    for key in ("coverage", "mean_size"):
        assert grouped[key].value == alone[key].value
        assert grouped[key].high - grouped[key].low > 2.5 * (alone[key].high - alone[key].low)


def test_thresholds_of_classes_in_a_table(simulated: Simulate) -> None:
    log_probs, labels = simulated(300, 3)
    rare = np.where(labels == 5, np.arange(300) % 5, labels)
    table = SetTable.of(log_probs, rare, rows="val", approximate=False)
    scores = nonconformity(log_probs, "lac")[np.arange(300), rare]
    expected = [threshold(scores[rare == each], 0.95) for each in range(5)]
    assert table.limit(0.95, "classwise").tolist() == [*expected, math.inf]
    assert table.limit(0.93, "classwise").tolist() == table.limit(0.95, "classwise").tolist()
    assert np.isinf(table.limit(0.9995, "classwise")).all()
    assert CLASS_COVERAGES[-1] < 0.9995
    inside = sets(log_probs, table.limit(0.9, "classwise"), "classwise")
    assert inside[:, 5].all()
    for each in range(5):
        assert inside[rare == each, each].mean() >= 0.9


@pytest.mark.parametrize("groups", [5, 19, 40])
def test_groups_are_units_if_there_are_enough(groups: int, simulated: Simulate) -> None:
    log_probs, labels = simulated(400, 3)
    group = np.arange(400) % groups
    scores = nonconformity(log_probs, "aps")[np.arange(400), labels]
    table = SetTable.of(log_probs, labels, rows="val", approximate=False, groups=group)
    assert table.groups == groups and table.approximate == (groups == 5)
    assert table.limit(0.95, "aps") == threshold(scores, 0.95, None if groups == 5 else group)
    assert np.isinf(table.limit(0.98, "aps")) == (groups != 5)
    assert SetTable.from_json(json.loads(json.dumps(table.to_json())), "it") == table
    assert table.note == (
        "approximate: calibrated on 400 rows of only 5 groups; a guarantee needs 19"
        if groups == 5
        else f"calibrated on 400 rows of {groups} groups that no model was fitted on"
    )
    other = SetTable.of(log_probs, labels, rows="oof", approximate=True, groups=group)
    assert other.approximate and other.note == (
        f"approximate: calibrated on 400 cross-fitted rows of {'only ' * (groups == 5)}{groups} groups "
        "that were predicted by other fits"
    )


def test_uneven_groups_are_not_called_exact() -> None:
    """Five groups of uneven difficulty: sets of rows cover too few rows of a new group."""
    random, held = np.random.default_rng(0), []
    for _ in range(200):
        shift = random.normal(1.5, 1.0, 6)
        groups = np.repeat(np.arange(6), 60)
        labels = random.integers(0, 4, 360)
        logits = random.normal(size=(360, 4)) + shift[groups, None] * np.eye(4)[labels]
        old, new = groups < 5, groups == 5
        table = SetTable.of(logits[old], labels[old], rows="val", approximate=False, groups=groups[old])
        assert table.approximate
        limit = table.limit(0.95, "lac")
        held.append(coverage_and_size(logits[new], labels[new], [limit], "lac")[0]["coverage"].value)
    assert np.mean(held) < 0.95


def test_answering_only_when_sure() -> None:
    log_probs = np.log(np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.55, 0.45]]))
    found = selective(log_probs, np.array([0, 1, 1, 1]), [0.5, 0.7, 0.95])
    assert found == [
        {"confidence": 0.5, "answered": 1.0, "accuracy": 0.5},
        {"confidence": 0.7, "answered": 0.5, "accuracy": 0.5},
        {"confidence": 0.95, "answered": 0.0, "accuracy": None},
    ]

"""Scores, gains and choices of members that predict numbers."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import root_mean_squared_error

from committee.combiners.base import build
from committee.errors import LeakError
from committee.predictions.simulation import simulate_numbers
from committee.predictions.table import Predictions
from committee.scoring.choice import choose, contenders
from committee.scoring.equivalent import deep_ensemble_equivalent
from committee.scoring.gains import Gain, gain
from committee.scoring.leave_one_out import contributions
from committee.scoring.scores import score_all
from committee.scoring.singles import best_single
from committee.tasks.base import task_of

RULES = ("soft_voting", "weighted", "greedy_selection")


def scored(rows):
    return score_all({key: build({"combiner": key}) for key in RULES}, rows)


@pytest.fixture(scope="module")
def rows():
    return simulate_numbers({"good": 0.5, "fair": 0.55, "weak": 2.0}, rows=200, targets=2)


@pytest.fixture(scope="module")
def scores(rows):
    return scored(rows)


def test_gains_are_proven_where_they_are_true(scores):
    found = scores["weighted"][1]
    assert set(found.gain) == {"rmse", "mae", "r2", "spearman"}
    assert found.gain["rmse"].proven and found.gain["rmse"].text.startswith("rmse lower by 0.1")
    assert found.gain["r2"].text.startswith("r2 higher by 0.09")
    assert not scores["soft_voting"][1].gain["rmse"].proven  # the weak member spoils the plain mean
    assert "best single member" in found.gain["rmse"].against


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_nothing_depends_on_the_unit(unit, rows, scores):
    scaled = Predictions.from_values(
        unit * rows.logits.astype(float),
        members=list(rows.members),
        target_names=list(rows.class_names),
        labels=unit * rows.labels,
    )
    for name, (_, found) in scored(scaled).items():
        first, other = scores[name][1].gain, found.gain
        assert other["rmse"].value == pytest.approx(first["rmse"].value, rel=1e-3)  # of two targets
        assert other["rmse"].low == pytest.approx(first["rmse"].low, rel=1e-3, abs=1e-6)
        assert other["r2"].value == pytest.approx(first["r2"].value, rel=1e-3)
        np.testing.assert_allclose(
            found.held_out, unit * scores[name][1].held_out, rtol=1e-3, atol=1e-3 * unit
        )


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (2.06, 0.57, "rmse lower by 2.1 [0.9, 3.2]"),
        (2.06e-6, 0.57e-6, "rmse lower by 2.1e-06 [9e-07, 3.2e-06]"),
        (2.06e9, 0.57e4, "rmse lower by 2.06e+09 [2.06e+09, 2.06e+09]"),
        (20600.0, 5700.0, "rmse lower by 21000 [9000, 32000]"),
        (0.0206, 0.0057, "rmse lower by 0.021 [0.009, 0.032]"),
        (0.1, 0.2, "no proven gain"),
    ],
)
def test_texts_have_two_digits_of_the_uncertainty(value, error, text):
    assert Gain("rmse", value, error, 2.0, 100, against="x").text == text


def test_equal_members_prove_nothing():
    """At most 5% of leaderboards may claim a gain; more than 4 of 30 would have a probability of 2%."""
    claims = 0
    for seed in range(30):
        rows = simulate_numbers(dict.fromkeys("abc", 1.0), rows=60, shared=0.5, seed=seed)
        methods = {name: build({"combiner": "subset", "members": [name]}) for name in rows.members}
        claims += any(each.gain["rmse"].proven for _, each in score_all(methods, rows).values())
    assert claims <= 4


def test_a_gain_over_a_fixed_baseline_is_the_difference(rows):
    first, other = rows.logits[:2]
    found = gain(other, first, rows.labels, metric="rmse")
    truth, first, other = (each / rows.labels.std(axis=0) for each in (rows.labels, first, other))
    expected = root_mean_squared_error(truth, first) - root_mean_squared_error(truth, other)
    assert found.value == pytest.approx(expected, rel=1e-6) and found.standard_error > 0


def test_the_winner_is_the_cheapest_of_equal_rules(scores):
    class Method:
        def __init__(self, name):
            self.method, (self.combiner, self.scores) = name, scores[name]

    winner, best = choose(contenders([Method(name) for name in RULES], "rmse"))
    assert winner.name in ("weighted", "greedy_selection") and best.score < 0


def test_contributions_and_the_best_single_know_numbers(rows):
    found = contributions(build({"combiner": "soft_voting"}), rows)
    assert found["weak"] < 0 < found["good"]
    outputs, chosen = best_single(rows, np.arange(200) % 5)
    assert outputs.shape == (200, 2) and set(chosen.values()) <= {"good", "fair"}


def test_rows_of_the_training_are_refused(rows):
    seen = replace(rows, seen=np.ones((3, 200), bool))
    with pytest.raises(LeakError, match="expected rows that no member was trained on"):
        best_single(seen, np.arange(200) % 5)


@pytest.mark.parametrize("unit", [1.0, 1e-6])
def test_an_ensemble_of_two_is_worth_two(unit):
    rows = simulate_numbers(dict.fromkeys("abcd", 0.5), rows=300)
    values, labels = unit * rows.logits, unit * rows.labels
    found = deep_ensemble_equivalent(values[:2].mean(axis=0), values, labels, task=task_of(rows))
    expected = [
        np.mean([root_mean_squared_error(labels, values[list(some)].mean(axis=0)) for some in subsets])
        for number in (1, 3, 4)
        for subsets in [list(itertools.combinations(range(4), number))]
    ]
    assert [found.curve[0], *found.curve[2:]] == pytest.approx(expected, rel=1e-5)
    assert found.value == pytest.approx(2, abs=0.3)
    assert found.to_json()["rmse"] == found.loss and "log_loss" not in found.to_json()
    worse = deep_ensemble_equivalent(10 * values[0], values, labels, task=task_of(rows))
    assert worse.value is None and worse.note == "worse than one member on average"

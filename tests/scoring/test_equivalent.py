"""The deep-ensemble equivalent agrees with all subsets, and counts members where it should."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from committee.base.folds import make_folds
from committee.combiners.soft_voting import SoftVoting
from committee.errors import DataError
from committee.predictions.simulation import simulate
from committee.scoring.equivalent import Equivalent, deep_ensemble_equivalent
from committee.solvers.newton import best_temperature


def test_the_curve_is_the_mean_over_subsets_of_calibrated_members() -> None:
    rows = simulate({"a": 1.0, "b": 1.5, "c": 0.5}, rows=300, classes=4)
    half = make_folds(rows.labels, 2, seed=0, rare=True)

    def loss(log_probs: np.ndarray) -> float:
        parts = []
        for each in (0, 1):
            here = half == each
            scaled = log_probs[here] / best_temperature(log_probs[~here], rows.labels[~here])
            parts.append(here.mean() * log_loss(rows.labels[here], softmax(scaled, axis=1), labels=range(4)))
        return sum(parts)

    probs = softmax(rows.logits.astype(float), axis=2)
    expected = []
    for number in (1, 2, 3):
        subsets = [list(some) for some in itertools.combinations(range(3), number)]
        expected.append(np.mean([loss(np.log(probs[some].mean(axis=0))) for some in subsets]))
    found = deep_ensemble_equivalent(SoftVoting().combine(rows.logits), rows.logits, rows.labels)
    assert found.curve == pytest.approx(expected, abs=1e-4)
    assert found.loss == pytest.approx(expected[-1], abs=1e-4)
    assert found.value == pytest.approx(3, abs=1e-3)


@pytest.mark.parametrize("number", [2, 6, 12])
def test_a_vote_of_some_members_is_worth_as_many(number: int) -> None:
    rows = simulate(dict.fromkeys("abcdefghijklmnop", 0.8), rows=3000)
    some = SoftVoting().combine(rows.logits[:number])
    found = deep_ensemble_equivalent(some, rows.logits, rows.labels)
    assert found.value == pytest.approx(number, rel=0.25)
    assert (np.diff(found.curve) < 0).all()
    assert found == deep_ensemble_equivalent(some, rows.logits, rows.labels)


def test_where_there_is_no_number() -> None:
    rows = simulate({"a": 1.0, "b": 1.0, "good": 4.0}, rows=500)
    best = SoftVoting().combine(rows.logits[2:])
    found = deep_ensemble_equivalent(best, rows.logits[:2], rows.labels)
    assert (found.value, found.note) == (None, "better than all 2 members with equal weights")
    noise = SoftVoting().combine(np.random.default_rng(0).normal(size=(1, 500, 3)).astype(np.float32))
    found = deep_ensemble_equivalent(noise, rows.logits, rows.labels)
    assert (found.value, found.note) == (None, "worse than one member on average")
    assert Equivalent.of(float("nan"), [0.5]).note == "a log-loss is not finite"
    assert Equivalent.of(0.5, [0.5, 0.4]).value == 1.0
    assert Equivalent.of(0.5, [0.75, 0.25]).to_json() == {
        "value": 1.5,
        "log_loss": 0.5,
        "curve": [0.75, 0.25],
        "note": "",
    }


def test_rows_that_cannot_be_halved() -> None:
    rows = simulate({"a": 1.0, "b": 1.0}, rows=20)
    voted = SoftVoting().combine(rows.logits)
    with pytest.raises(DataError):
        deep_ensemble_equivalent(voted, rows.logits, rows.labels, groups=np.zeros(20, int))
    with pytest.raises(DataError) as caught:
        deep_ensemble_equivalent(voted[:1], rows.logits[:, :1], rows.labels[:1])
    assert str(caught.value) == "deep_ensemble_equivalent: expected at least 2 rows, got 1."

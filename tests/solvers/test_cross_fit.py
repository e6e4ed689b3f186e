"""Which rows a rule is fitted on, and which it is scored on, where each fold has networks of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from committee.combiners.stacking_lr import StackingLr
from committee.metrics.classification import evaluate
from committee.predictions.table import Predictions
from committee.scoring.scores import cross_fit
from committee.solvers.cross_fit import ENOUGH_EVIDENCE, network_folds, ways_to_split
from committee.solvers.evidence import evidence

ROW_FOLDS = np.arange(240) % 3


@pytest.fixture(scope="module")
def coded() -> Predictions:
    """Networks that say nothing about the class, except by small shifts in a code of their own."""
    random = np.random.default_rng(0)
    labels = random.permutation(np.arange(240) // 3 % 4)
    codes = random.normal(size=(2, 3, 4, 4))
    logits = 0.3 * codes[:, ROW_FOLDS, labels] + 0.02 * random.normal(size=(2, 240, 4))
    # In each network, a class is as probable for its own rows as for others.
    for member in range(2):
        for fold in range(3):
            rows = np.equal(ROW_FOLDS, fold)
            own = np.array([logits[member, rows & (labels == each), each].mean() for each in range(4)])
            rest = np.array([logits[member, rows & (labels != each), each].mean() for each in range(4)])
            logits[member, rows, labels[rows]] += (rest - own)[labels[rows]]
    return Predictions.from_logits(
        logits, members=["a", "b"], class_names=list("wxyz"), labels=labels, folds=ROW_FOLDS
    )


def test_a_stack_that_holds_for_the_networks_of_one_fold_only_gets_no_score_for_it(
    coded: Predictions,
) -> None:
    """Fitted on rows of the same networks, it is always right; on those of other networks, it guesses."""
    assert evidence(coded).max() < ENOUGH_EVIDENCE
    rule = StackingLr(C=1.0, features="log_probability")
    between, within = ways_to_split(coded, ROW_FOLDS, allows_negative_weights=True)
    right = [
        rule.clone().fit(coded.rows(others)).combine(coded.logits, held_out).argmax(axis=1)
        == coded.labels[held_out]
        for others, held_out in within
    ]
    assert np.concatenate(right).mean() > 0.95
    found = evaluate(cross_fit(rule, coded), coded.labels)
    assert found["accuracy"] < 0.45 and found["log_loss"] > 1.2
    assert [len(held_out) for _, held_out in between] == [80, 80, 80]


def test_every_way_combines_each_row_once(coded: Predictions) -> None:
    for pairs in ways_to_split(coded, ROW_FOLDS, allows_negative_weights=True):
        np.testing.assert_array_equal(np.sort(np.concatenate([each for _, each in pairs])), np.arange(240))
        assert not any(set(others) & set(held_out) for others, held_out in pairs)
    assert len(ways_to_split(coded, ROW_FOLDS, allows_negative_weights=False)) == 1
    assert len(ways_to_split(coded, ROW_FOLDS[::-1].copy(), allows_negative_weights=True)) == 1


def test_settings_are_chosen_on_the_folds_of_the_networks(coded: Predictions) -> None:
    np.testing.assert_array_equal(network_folds(coded), ROW_FOLDS)
    assert np.unique(network_folds(coded, most=2)).tolist() == [0, 1]
    two = coded.rows(np.flatnonzero(ROW_FOLDS > 0))
    np.testing.assert_array_equal(network_folds(two), ROW_FOLDS[ROW_FOLDS > 0] - 1)
    one = coded.rows(np.flatnonzero(np.equal(ROW_FOLDS, 1)))
    assert np.unique(network_folds(one, most=4)).tolist() == [0, 1, 2, 3]
    assert len(np.unique(network_folds(replace(coded, folds=None)))) == 5

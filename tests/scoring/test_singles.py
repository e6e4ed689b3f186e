"""The best single member, which is chosen for each fold on the other folds."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax

from committee.base.folds import make_folds
from committee.metrics.classification import METRICS, evaluate
from committee.predictions.table import Predictions
from committee.scoring import baselines
from committee.scoring.baselines import Baselines
from committee.scoring.singles import best_single
from committee.solvers.newton import best_temperature


@pytest.mark.parametrize("metric", ["log_loss", "accuracy", "f1_macro", "brier", "auroc"])
def test_best_single_is_chosen_on_the_other_folds(metric, noisy):
    folds = make_folds(noisy.labels, 4)
    log_probs, chosen = best_single(noisy, folds, metric)
    logs = log_softmax(noisy.logits, axis=2)
    sign = 1 if METRICS[metric].higher_is_better else -1
    for fold in range(4):
        rest = folds != fold
        values = [sign * evaluate(member[rest], noisy.labels[rest], [metric])[metric] for member in logs]
        assert chosen[fold] == noisy.members[int(np.argmax(values))]
        expected = logs[noisy.members.index(chosen[fold]), folds == fold]
        np.testing.assert_allclose(log_probs[folds == fold], expected, atol=1e-5)


def test_best_single_ties_by_name(noisy):
    twins = noisy.select(["solid", "fair"])
    twins = replace(twins, logits=np.repeat(twins.logits[:1], 2, axis=0))
    assert set(best_single(twins, np.arange(600) % 2)[1].values()) == {"fair"}


def test_a_calibrated_member_is_chosen_by_its_calibrated_predictions(noisy):
    """The better member is overconfident; calibrated, it is the better one in log-loss too."""
    logits = np.stack([20 * noisy.logits[0], noisy.logits[2]])
    rows = replace(noisy.select(["solid", "weak"]), logits=logits)
    folds = make_folds(noisy.labels, 3)
    assert set(best_single(rows, folds)[1].values()) == {"weak"}
    log_probs, chosen = best_single(rows, folds, calibrated=True)
    assert set(chosen.values()) == {"solid"}
    temperature = best_temperature(logits[0, folds != 1], noisy.labels[folds != 1])
    expected = log_softmax(logits[0, folds == 1] / temperature, axis=1)
    np.testing.assert_allclose(log_probs[folds == 1], expected, atol=1e-4)


def test_gains_need_the_memory_of_few_members(monkeypatch):
    """Members are read one after the other, and of the best ones only predicted classes are kept."""
    monkeypatch.setattr(baselines, "MOST_SORTED", 0)
    members, rows, classes = 6, 300, 4000
    random = np.random.default_rng(0)
    labels, logits = np.arange(rows) % classes, random.standard_normal((members, rows, classes), np.float32)
    logits[:, np.arange(rows), labels] += 3
    predictions = Predictions.from_logits(logits, labels=labels)
    combined = log_softmax(logits.mean(axis=0), axis=1)
    tracemalloc.start()
    try:
        gains, _ = Baselines(predictions, np.arange(rows) % 5, 0).gains(combined, calibrated=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert gains["accuracy"].proven
    assert peak < 7.5 * logits[0].nbytes

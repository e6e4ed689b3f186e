"""Gains: paired differences, their standard errors, and the exact test of accuracies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import binom, t

from committee.errors import UsageError
from committee.metrics import named
from committee.metrics.classification import METRICS
from committee.predictions.table import Predictions
from committee.scoring.gains import Gain, gain

COMPARED = [name for name, metric in METRICS.items() if metric.influence is not None]


def votes(correct: np.ndarray) -> np.ndarray:
    """Return log-probabilities of two classes that predict class 0 where they are correct."""
    return np.log(np.where(np.stack([correct, ~correct], axis=1), 0.9, 0.1))


@pytest.mark.parametrize("metric", COMPARED)
def test_a_gain_is_paired_and_positive_is_better(metric: str, noisy: Predictions) -> None:
    solid, fair, weak = log_softmax(noisy.logits, axis=2)
    found = gain(solid, weak, noisy.labels, metric=metric)
    mirrored = gain(weak, solid, noisy.labels, metric=metric)
    assert mirrored.value == pytest.approx(-found.value)
    assert mirrored.standard_error == pytest.approx(found.standard_error)
    assert found.proven and not mirrored.proven
    nothing = gain(fair, fair, noisy.labels, metric=metric)
    assert (nothing.value, nothing.low, nothing.high, nothing.proven) == (0, 0, 0, False)


@pytest.mark.parametrize("metric", COMPARED)
def test_a_standard_error_is_that_of_repeated_samples(metric: str) -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, (300, 200))
    good, bad = (
        log_softmax(spread * np.eye(3)[labels] + random.normal(size=(300, 200, 3)), axis=2)
        for spread in (2.0, 1.5)
    )
    found = [gain(*each, metric=metric) for each in zip(good, bad, labels, strict=True)]
    spread = np.std([each.value for each in found])
    # The binned errors are kinked where a bin has no error, and their linearization is too wide there.
    low, high = (0.85, 1.6) if metric.startswith("ece") else (0.88, 1.12)
    assert low < np.mean([each.standard_error for each in found]) / spread < high


def test_a_gain_agrees_with_the_paired_t_test(noisy: Predictions) -> None:
    solid, fair, _ = log_softmax(noisy.logits, axis=2)
    rows = np.arange(600)
    difference = solid[rows, noisy.labels] - fair[rows, noisy.labels]
    found = gain(solid, fair, noisy.labels)
    low, high = t.interval(0.95, 599, difference.mean(), difference.std(ddof=1) / np.sqrt(600))
    assert found.value == pytest.approx(difference.mean(), abs=1e-6)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01 * (high - low))


@pytest.mark.parametrize("rows", [40, 500])
def test_an_accuracy_is_proven_only_if_the_exact_test_agrees(rows: int) -> None:
    """As the one-sided test of McNemar: the better rows among those that differ are binomial with p = 0.5."""
    for better in range(20):
        for worse in range(better):
            first, second = np.ones((2, rows), bool)
            first[:worse] = False
            second[worse : worse + better] = False
            found = gain(votes(first), votes(second), np.zeros(rows, np.int64), metric="accuracy")
            p = binom.sf(better - 1, better + worse, 0.5)
            assert found.value == pytest.approx((better - worse) / rows)
            assert p <= 0.025 if found.proven else p > 0.02


def test_few_discordant_rows_prove_nothing_in_any_metric_of_predicted_classes() -> None:
    """Some of six rows of a rare class differ, which changes the balanced accuracy by up to a half."""
    labels = np.zeros(500, np.int64)
    labels[:6] = 1
    for wrong, expected in ((2, False), (4, False), (6, True)):
        first, second = np.ones((2, 500), bool)
        second[:wrong] = False
        better, worse = (
            np.where(labels[:, None] == 1, votes(each)[:, ::-1], votes(each)) for each in (first, second)
        )
        found = [
            gain(better, worse, labels, metric=metric) for metric in COMPARED if METRICS[metric].by_class
        ]
        assert len(found) == 8 and all(each.value > 0 for each in found)
        assert not any(each.proven and not expected for each in found)
        assert gain(better, worse, labels, metric="accuracy").proven is expected


def test_a_loss_that_few_rows_decide_is_not_proven() -> None:
    """Four of 500 rows are much better: the mean is two standard errors from zero, but rests on four rows."""
    first, second = np.full((2, 500, 2), np.log(0.5))
    second[:4] = np.log([0.1, 0.9])
    found = gain(first, second, np.zeros(500, np.int64))
    assert found.value > 0 and not found.proven


def test_groups_widen_a_gain(noisy: Predictions) -> None:
    solid, _, weak = log_softmax(np.repeat(noisy.logits[:, :60], 10, axis=1), axis=2)
    labels, groups = np.repeat(noisy.labels[:60], 10), np.repeat(np.arange(60), 10)
    alone, grouped = gain(solid, weak, labels), gain(solid, weak, labels, groups=groups)
    assert (grouped.high - grouped.low) > 2 * (alone.high - alone.low)
    few = gain(solid, weak, labels, groups=groups // 15)
    assert (few.units, few.critical) == (4, pytest.approx(t.ppf(0.975, 3)))


def test_one_group_proves_nothing(noisy: Predictions) -> None:
    solid, _, weak = log_softmax(noisy.logits, axis=2)
    found = gain(solid, weak, noisy.labels, groups=np.zeros(600, np.int64))
    assert found.value > 0 and not found.proven


def test_a_gain_in_words() -> None:
    assert Gain("accuracy", 0.008, 0.003, 2.0, 500, "x").text == "+0.8 points accuracy [0.2, 1.4]"
    assert Gain("log_loss", 0.01, 0.002, 2.0, 500, "x").text == "log_loss lower by 0.0100 [0.0060, 0.0140]"
    assert Gain("accuracy", 0.008, 0.005, 2.0, 500, "x").text == "no proven gain"


def test_metrics_that_cannot_be_compared(monkeypatch: pytest.MonkeyPatch, noisy: Predictions) -> None:
    solid, fair, _ = log_softmax(noisy.logits, axis=2)
    monkeypatch.setitem(named.METRICS, "own", replace(METRICS["brier"], influence=None))
    with pytest.raises(UsageError) as error:
        gain(solid, fair, noisy.labels, metric="own")
    assert str(error.value) == "gain: expected a metric with the influence of each row, got 'own'."

"""Areas under risk-coverage curves agree with direct computation and with the ROC curve of failures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, roc_auc_score

from committee.metrics.risk import RiskCoverage


def drawn(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    confidence = random.random(rows)
    return confidence, random.random(rows) < confidence


@given(st.integers(0, 1000), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_areas_without_ties_are_those_of_the_definition(seed: int, rows: int) -> None:
    confidence, correct = drawn(rows, seed)
    error = ~correct[np.argsort(-confidence)]
    curve = RiskCoverage(confidence, correct)
    assert curve.aurc == pytest.approx(np.mean([error[:k].mean() for k in range(1, rows + 1)]))
    # The generalized curve starts at no coverage and no risk.
    generalized = [error[:k].sum() / rows for k in range(rows + 1)]
    assert curve.augrc == pytest.approx(auc(np.arange(rows + 1) / rows, generalized))


def test_augrc_follows_from_the_accuracy_and_the_auroc_of_failures() -> None:
    """An identity of Traub et al. (2024), with ties."""
    confidence, correct = drawn(500, 0)
    confidence = confidence.round(1)
    right = correct.mean()
    expected = (1 - roc_auc_score(correct, confidence)) * right * (1 - right) + (1 - right) ** 2 / 2
    assert RiskCoverage(confidence, correct).augrc == pytest.approx(expected, abs=1e-12)


def test_ties_have_the_mean_of_all_their_orders() -> None:
    confidence = np.array([0.9, 0.5, 0.5, 0.5, 0.2])
    correct = np.array([True, False, True, False, True])
    random, orders = np.random.default_rng(0), []
    for _ in range(4000):
        error = ~correct[np.concatenate([[0], 1 + random.permutation(3), [4]])]
        orders.append(np.mean(np.cumsum(error) / np.arange(1, 6)))
    assert RiskCoverage(confidence, correct).aurc == pytest.approx(np.mean(orders), abs=0.005)


def test_a_better_order_has_a_smaller_area() -> None:
    correct = np.arange(100) >= 20
    best, worst = (RiskCoverage(each, correct) for each in (np.linspace(0, 1, 100), np.linspace(1, 0, 100)))
    assert best.aurc < worst.aurc and best.augrc < worst.augrc
    assert best.augrc == pytest.approx(0.2**2 / 2)

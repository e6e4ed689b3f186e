"""Boosted series, against scikit-learn's AdaBoost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import AdaBoostClassifier
from sklearn.tree import DecisionTreeClassifier

from committee.models.composites.boosted import combine
from committee.training.plans.boosting import stage_weight


def test_votes_and_stage_weights_are_those_of_scikit_learn() -> None:
    data, labels = load_digits(return_X_y=True)
    model = AdaBoostClassifier(DecisionTreeClassifier(max_depth=3), n_estimators=6, random_state=0)
    model.fit(data[:1000], labels[:1000])
    weights = [stage_weight(error, 10) for error in model.estimator_errors_]
    np.testing.assert_allclose(weights, model.estimator_weights_[: len(weights)], rtol=1e-9)
    stages = np.stack([each.predict(data[1000:]) for each in model.estimators_])
    logits = torch.nn.functional.one_hot(torch.from_numpy(stages), 10).float()
    ours = combine(logits, torch.tensor(weights, dtype=torch.float32), votes=True)
    theirs = model.decision_function(data[1000:]) * sum(weights) / 9
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-4, atol=1e-5)
    assert np.array_equal(ours.argmax(1).numpy(), model.predict(data[1000:]))


def test_sums_are_weighted() -> None:
    logits = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    expected = 0.5 * logits[0] + 0.25 * logits[1] + logits[2]
    torch.testing.assert_close(combine(logits, torch.tensor([0.5, 0.25, 1.0]), votes=False), expected)


@pytest.mark.parametrize(("error", "weight"), [(0.5, 0.0), (0.7, 0.0), (0.25, np.log(3))])
def test_a_stage_no_better_than_chance_weighs_nothing(error: float, weight: float) -> None:
    assert stage_weight(error, 2) == pytest.approx(weight)


def test_a_stage_without_error_has_a_finite_weight() -> None:
    assert 20 < stage_weight(0.0, 10) < 30

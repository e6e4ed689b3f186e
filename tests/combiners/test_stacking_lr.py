"""Stacking against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from committee.combiners.stacking_lr import STRENGTHS, StackingLr
from committee.errors import DataError, UsageError
from committee.predictions.table import Predictions


@pytest.mark.parametrize("strength", [0.001, 0.1])
@pytest.mark.parametrize("classes", [2, 10])
def test_agrees_with_scikit_learn(strength, classes, digits):
    part = digits.rows(digits.labels < classes)
    features = log_softmax(part.logits.astype(np.float64), axis=2).transpose(1, 0, 2).reshape(len(part), -1)
    # A constant feature varies by rounding errors only, which must not be scaled up.
    features = features[:, features.std(axis=0) > 1e-4]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, tol=1e-8, max_iter=5000))
    expected = model.fit(features, part.labels).predict_proba(features)
    found = np.exp(StackingLr(strength, "log_probability").fit(part).combine(part.logits))
    np.testing.assert_allclose(found[:, :classes], expected, atol=1e-3)
    assert found[:, classes:].max(initial=0) < 1e-6


def test_the_strength_is_chosen_inside_the_rows(digits):
    fitted = StackingLr().fit(digits)
    notes = fitted.notes()
    losses = {float(c): loss for c, loss in notes["log_loss_by_C"].items()}
    assert tuple(losses) == STRENGTHS[: len(losses)] and notes["C"] == min(losses, key=losses.get)
    assert len(losses) == len(STRENGTHS) or notes["C"] == STRENGTHS[len(losses) - 2]
    assert StackingLr(C=0.5, features="log_probability").fit(digits).notes() == {
        "C": 0.5,
        "log_loss_by_C": {},
        "features": "log_probability",
    }
    assert fitted.member_weights() is None


def test_is_one_linear_layer(digits):
    fitted = StackingLr(C=0.1).fit(digits)
    shapes = {name: tuple(tensor.shape) for name, tensor in fitted.state_dict().items()}
    assert (shapes["weight"], shapes["bias"]) == ((10, 40), (10,))


def test_one_class_is_not_enough():
    rows = Predictions.from_logits(
        np.zeros((2, 6, 3)), members=["a", "b"], class_names=list("xyz"), labels=np.ones(6, int)
    )
    with pytest.raises(DataError) as error:
        StackingLr().fit(rows)
    assert str(error.value) == "stacking_lr: expected rows of at least two classes, got one class."


def test_takes_seconds_for_few_features_and_minutes_for_many():
    assert StackingLr().seconds(3, 50_000, 10) < 10 < 120 < StackingLr().seconds(15, 50_000, 100)


def test_a_strength_is_positive(digits):
    with pytest.raises(UsageError) as error:
        StackingLr(C=-1).fit(digits)
    assert str(error.value) == "stacking_lr.C: expected a number above 0, got -1."

"""Stacking by a random forest against scikit-learn, and limits that are checked before the fit."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from committee.combiners.stacking_rf import LEAVES, StackingRf
from committee.errors import UsageError
from committee.predictions.table import Predictions
from committee.solvers.class_space import FLOOR
from committee.solvers.forest import on_grid


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("options", [{}, {"features": "probability", "extras": True}])
def test_agrees_with_scikit_learn_on_fresh_rows(classes, options, digits):
    part = digits.rows(digits.labels < classes)
    half = len(part) // 2
    rows, fresh = part.rows(np.arange(half)), part.rows(np.arange(half, len(part)))
    rule = StackingRf(n_estimators=15, max_depth=6, **options).fit(rows)
    order = rule.learned("class_order")[rule.learned("known_places")].numpy()
    labels = np.argsort(order)[rows.labels]
    model = RandomForestClassifier(
        15, max_depth=6, min_samples_leaf=rule.notes()["least_rows_in_a_leaf"], random_state=0
    ).fit(on_grid(rule._all_features(rows, rule.notes()["features"])), labels)
    expected = np.maximum(
        model.predict_proba(on_grid(rule._all_features(fresh, rule.notes()["features"]))), FLOOR / classes
    )
    np.testing.assert_allclose(np.exp(rule.combine(fresh.logits))[:, order], expected, atol=1e-5)


def test_the_least_rows_in_a_leaf_are_chosen_inside_the_rows(digits):
    notes = StackingRf(n_estimators=20).fit(digits.rows(np.arange(300))).notes()
    losses = {int(least): loss for least, loss in notes["log_loss_by_least_rows"].items()}
    assert tuple(losses) == LEAVES and notes["least_rows_in_a_leaf"] == min(losses, key=losses.get)
    noise = Predictions.from_logits(
        np.random.default_rng(0).normal(size=(3, 300, 4)),
        members=list("abc"),
        class_names=list("wxyz"),
        labels=np.random.default_rng(1).integers(0, 4, 300),
    )
    assert StackingRf(n_estimators=20).fit(noise).notes()["least_rows_in_a_leaf"] == 30


def test_a_forest_too_large_is_refused_before_it_is_fitted(digits):
    with pytest.raises(UsageError) as caught:
        StackingRf(n_estimators=5000, max_depth=20).fit(digits)
    assert str(caught.value) == (
        "stacking_rf: expected a forest with at most 16,777,216 values, which an exported file can hold, got "
        "up to 90,000,000. Lower max_depth or n_estimators of rf_config."
    )

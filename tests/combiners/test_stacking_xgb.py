"""Stacking by boosted trees against XGBoost, and limits that are checked before the fit."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
import xgboost

from committee.combiners.stacking_xgb import StackingXgb
from committee.errors import DependencyError, UsageError
from committee.predictions.table import Predictions
from committee.solvers.forest import on_grid


def boosters(monkeypatch: pytest.MonkeyPatch) -> list[xgboost.Booster]:
    """Return a list to which every trained booster is appended."""
    made = []
    train = xgboost.train

    def watched(*args, **options):
        made.append(train(*args, **options))
        return made[-1]

    monkeypatch.setattr(xgboost, "train", watched)
    return made


def shown(rule: StackingXgb, rows: Predictions) -> np.ndarray:
    return rule._all_features(rows, rule.notes()["features"])


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("options", [{}, {"features": "probability", "extras": True}])
def test_agrees_with_xgboost_on_fresh_rows(classes, options, digits, monkeypatch):
    made = boosters(monkeypatch)
    part = digits.rows(digits.labels < classes)
    half = len(part) // 2
    rows, fresh = part.rows(np.arange(half)), part.rows(np.arange(half, len(part)))
    rule = StackingXgb(n_estimators=12, max_depth=4, **options).fit(rows)
    features = shown(rule, fresh)
    assert not np.array_equal(features, on_grid(features))
    expected = made[-1].predict(xgboost.DMatrix(features))
    found = np.exp(rule.combine(fresh.logits))
    order = rule.learned("class_order")[rule.learned("known_places")].numpy()
    np.testing.assert_allclose(found[:, order], expected, atol=1e-5)
    assert np.delete(found, order, axis=1).max(initial=0) < 1e-7


def test_the_number_of_rounds_is_chosen_inside_the_rows(digits):
    noise = Predictions.from_logits(
        np.random.default_rng(0).normal(size=(3, 300, 4)),
        members=list("abc"),
        class_names=list("wxyz"),
        labels=np.random.default_rng(1).integers(0, 4, 300),
    )
    few = StackingXgb(n_estimators=30, max_depth=3).fit(noise).notes()
    many = StackingXgb(n_estimators=30, max_depth=3).fit(digits).notes()
    assert few["rounds"] <= 3 and many["rounds"] > 10
    assert few["log_loss"] == pytest.approx(np.log(4), abs=0.05)


def test_rows_of_the_fit_stand_on_no_threshold(digits):
    rows = digits.rows(np.arange(300))
    rule = StackingXgb(n_estimators=5, max_depth=3).fit(rows)
    logits = torch.from_numpy(rows.logits)
    expected = rule(logits)
    for shift in (1e-6, -1e-6):
        moved = rule(logits + shift * torch.randn(logits.shape, generator=torch.Generator().manual_seed(0)))
        torch.testing.assert_close(moved, expected, atol=1e-6, rtol=0)


def test_a_forest_too_large_is_refused_before_it_is_fitted(digits, monkeypatch):
    made = boosters(monkeypatch)
    with pytest.raises(UsageError) as caught:
        StackingXgb(n_estimators=5000, max_depth=12).fit(digits)
    assert str(caught.value) == (
        "stacking_xgb: expected a forest with at most 16,777,216 values, which an exported file can hold, "
        "got up to 90,000,000. Lower max_depth or n_estimators of xgb_config."
    )
    assert not made


def test_without_xgboost(digits, monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(DependencyError) as caught:
        StackingXgb().fit(digits)
    assert str(caught.value) == (
        "stacking by XGBoost: expected the package 'xgboost', got none installed. "
        "Install it with: pip install 'committee[xgboost]'"
    )


def test_the_estimated_time_of_a_fit(monkeypatch):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    assert StackingXgb().seconds(5, 1500, 10) == np.inf
    monkeypatch.undo()
    assert 2 < StackingXgb().seconds(5, 1500, 10) < 10 and StackingXgb().seconds(5, 5000, 2000) == np.inf


def test_identical_members_and_one_alone(digits):
    rows = digits.rows(np.arange(300))
    near = rows.logits[2]
    twins = Predictions.from_logits(
        np.stack([near, near]), members=["a", "b"], class_names=rows.class_names, labels=rows.labels
    )
    options = {"n_estimators": 20, "max_depth": 3}
    one = StackingXgb(**options).fit(rows.select(["near"])).combine(near[None])
    both = StackingXgb(**options).fit(twins).combine(twins.logits)
    right = [(each.argmax(1) == rows.labels).mean() for each in (one, both)]
    assert min(right) > 0.9 and right[0] == pytest.approx(right[1], abs=0.03)

"""Stacking by a small network: a correction of soft voting, applied only if it helps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from committee.combiners.soft_voting import SoftVoting
from committee.combiners.stacking_mlp import StackingMlp
from committee.errors import UsageError
from committee.predictions.table import Predictions


def turned(rows: int, seed: int) -> Predictions:
    """Two members whose disagreement about class 0 determines the label."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, rows)
    first = rng.integers(0, 2, rows)
    second = first ^ labels
    logits = np.stack([2 * np.eye(2)[first], 2 * np.eye(2)[second]]) + rng.normal(size=(2, rows, 2)) * 0.2
    return Predictions.from_logits(logits, members=["a", "b"], class_names=["x", "y"], labels=labels)


def test_it_learns_what_no_weights_can() -> None:
    rule = StackingMlp(hidden_dims=[32], epochs=60, lr=0.01, dropout=0.0).fit(turned(600, 0))
    fresh = turned(600, 1)
    right = (rule.combine(fresh.logits).argmax(1) == fresh.labels).mean()
    assert (SoftVoting().combine(fresh.logits).argmax(1) == fresh.labels).mean() < 0.6 and right > 0.97


def test_where_nothing_helps_it_stays_soft_voting() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    logits = rng.normal(size=(3, 200, 4)) * 0.01
    rows = Predictions.from_logits(logits, members=list("abc"), class_names=list("wxyz"), labels=labels)
    rule = StackingMlp(hidden_dims=[16], epochs=10, lr=0.1).fit(rows)
    assert rule.notes()["epochs"] == 0
    np.testing.assert_allclose(rule.combine(rows.logits), SoftVoting().combine(rows.logits), atol=1e-5)


def test_epochs_are_chosen_by_rows_held_out(digits: Predictions) -> None:
    notes = StackingMlp(hidden_dims=[16], epochs=8).fit(digits.rows(np.arange(300))).notes()
    assert 1 <= notes["epochs"] <= 8 and notes["log_loss"] < notes["start"]


def test_torchs_own_generator_is_left_alone(digits: Predictions) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    StackingMlp(hidden_dims=[8], epochs=2).fit(digits.rows(np.arange(200)))
    assert torch.equal(torch.get_rng_state(), before)


def test_it_trains_where_no_gradients_are_kept(digits: Predictions) -> None:
    rows = digits.rows(np.arange(200))
    with torch.no_grad():
        quiet = StackingMlp(hidden_dims=[8], epochs=2).fit(rows).combine(rows.logits)
    np.testing.assert_array_equal(
        quiet, StackingMlp(hidden_dims=[8], epochs=2).fit(rows).combine(rows.logits)
    )


def test_a_share_that_cannot_be(digits: Predictions) -> None:
    with pytest.raises(UsageError) as caught:
        StackingMlp(dropout=1.0).fit(digits)
    assert str(caught.value) == "stacking_mlp.dropout: expected at least 0 and below 1, got 1.0."

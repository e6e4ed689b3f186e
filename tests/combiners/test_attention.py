"""Attention: weights that depend on the sample."""

from __future__ import annotations

import numpy as np
import torch

from committee.combiners.attention import Attention, _without_some
from committee.combiners.soft_voting import SoftVoting
from committee.predictions.table import Predictions


def halves(rows: int, seed: int) -> tuple[Predictions, np.ndarray]:
    """Two members: each is right on one half of the rows, and unsure and wrong on the other half."""
    rng = np.random.default_rng(seed)
    labels, own = rng.integers(0, 3, rows), rng.integers(0, 2, rows)
    logits = rng.normal(size=(2, rows, 3)) * 0.8
    for member in range(2):
        mine = np.flatnonzero(own == member)
        logits[member, mine] = 0.0
        logits[member, mine, labels[mine]] = 2.5
    return Predictions.from_logits(logits, members=["b", "a"], class_names=list("xyz"), labels=labels), own


def test_the_weights_say_who_is_right_and_that_helps_on_fresh_rows() -> None:
    rule = Attention(epochs=40, lr=0.01).fit(halves(800, 0)[0])
    fresh, own = halves(800, 1)
    weights = rule.attend(torch.from_numpy(fresh.logits)).numpy()
    assert weights.shape == (800, 2)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert (weights.argmax(1) == own).mean() > 0.95

    def loss(log_probs: np.ndarray) -> float:
        return -float(log_probs[np.arange(len(fresh)), fresh.labels].mean())

    assert loss(rule.combine(fresh.logits)) < loss(SoftVoting().combine(fresh.logits)) - 0.1


def test_the_output_is_the_weighted_mean(digits: Predictions) -> None:
    rows = digits.rows(np.arange(300))
    rule = Attention(epochs=5).fit(rows)
    logits = torch.from_numpy(rows.logits)
    weights = rule.attend(logits).t()[:, :, None]
    expected = (weights * logits.softmax(2)).sum(0)
    torch.testing.assert_close(rule(logits).exp(), expected, atol=1e-5, rtol=1e-5)


def test_where_nothing_helps_it_stays_soft_voting() -> None:
    rng = np.random.default_rng(0)
    logits = np.repeat(rng.normal(size=(1, 200, 4)), 3, axis=0)
    rows = Predictions.from_logits(
        logits, members=list("abc"), class_names=list("wxyz"), labels=rng.integers(0, 4, 200)
    )
    rule = Attention(epochs=5).fit(rows)
    np.testing.assert_allclose(rule.combine(rows.logits), SoftVoting().combine(rows.logits), atol=1e-5)
    assert set(rule.notes()["mean_weights"]) == {"a", "b", "c"}


def test_members_that_are_left_out() -> None:
    weights = torch.rand(4000, 5, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    left = _without_some(weights, 0.4, torch.Generator().manual_seed(1))
    torch.testing.assert_close(left.sum(dim=1), torch.ones(4000))
    out = left < 1e-5
    assert 0.37 < out.float().mean() < 0.41
    all_kept = ~out.any(dim=1)
    torch.testing.assert_close(left[all_kept], weights[all_kept])
    assert not out.all(dim=1).any()


def test_dropout_is_for_training_only() -> None:
    rows = halves(300, 0)[0]
    none, some = (Attention(epochs=4, member_dropout=share).fit(rows) for share in (0.0, 0.5))
    assert none.notes() != some.notes()
    np.testing.assert_array_equal(some.combine(rows.logits), some.combine(rows.logits))

"""Soft voting returns the mean probability."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import softmax

from committee.combiners.soft_voting import SoftVoting


def test_is_the_mean_probability(digits):
    expected = softmax(digits.logits.astype(np.float64), axis=2).mean(axis=0)
    np.testing.assert_allclose(np.exp(SoftVoting().combine(digits.logits)), expected, atol=1e-6)


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[[3e4, 0.0, -3e4]], [[2e4, 0.0, -3e4]]])
    assert torch.isfinite(SoftVoting()(logits)).all()


def test_equal_weights(digits):
    weights = SoftVoting().fit(digits).member_weights()
    assert weights == {"tree": 0.25, "bayes": 0.25, "near": 0.25, "linear": 0.25}
    assert SoftVoting().member_weights() == {}

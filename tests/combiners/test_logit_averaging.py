"""Logit averaging returns the normalized geometric mean."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax, softmax
from scipy.stats import gmean

from committee.combiners.logit_averaging import LogitAveraging


def test_is_the_geometric_mean(digits):
    mean = gmean(softmax(digits.logits.astype(np.float64), axis=2), axis=0)
    expected = mean / mean.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.exp(LogitAveraging().combine(digits.logits)), expected, atol=1e-6)


def test_is_the_softmax_of_mean_logits(digits):
    expected = log_softmax(digits.logits.mean(axis=0), axis=1)
    np.testing.assert_allclose(LogitAveraging().combine(digits.logits), expected, atol=1e-5)

"""The mutual information agrees with entropies of scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from committee.metrics.uncertainty import mutual_information


def test_it_is_the_entropy_of_the_mean_minus_the_mean_entropy() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 40, 7)).astype(np.float32) * 3
    probs = softmax(logits.astype(float), axis=2)
    expected = entropy(probs.mean(axis=0), axis=1) - entropy(probs, axis=2).mean(axis=0)
    np.testing.assert_allclose(mutual_information(logits), expected, atol=1e-6)
    np.testing.assert_allclose(mutual_information(iter(logits + 9)), expected, atol=1e-6)


def test_its_range() -> None:
    logits = np.random.default_rng(0).normal(size=(1, 40, 7))
    assert mutual_information(logits).max() == 0
    assert mutual_information(np.repeat(logits, 3, axis=0)) == pytest.approx(0, abs=1e-12)
    certain = np.where(np.eye(3)[:, None, :], 0.0, -np.inf)
    assert mutual_information(certain).tolist() == pytest.approx([np.log(3)])

"""Predictions that several tests of scores share."""

import numpy as np
import pytest

from committee.predictions.table import Predictions


@pytest.fixture(scope="module")
def noisy():
    """Three members with independent noise; the noise of `weak` is largest."""
    random = np.random.default_rng(7)
    labels = random.integers(0, 5, 600)
    noise = np.array([1.0, 1.1, 3.0])[:, None, None]
    logits = 2 * np.eye(5)[labels] + random.normal(size=(3, 600, 5)) * noise
    return Predictions.from_logits(
        logits, members=["solid", "fair", "weak"], class_names=list("abcde"), labels=labels
    )

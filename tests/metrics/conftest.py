"""Predictions that several tests of prediction sets share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest


@pytest.fixture(scope="session")
def simulated() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Return a function that draws log-probabilities of an overconfident classifier, and labels."""

    def draw(rows: int, seed: int, classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, classes, rows)
        logits = rng.normal(size=(rows, classes)) * 1.5
        logits[np.arange(rows), labels] += 2
        log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return (1.7 * log_probs).astype(np.float32), labels

    return draw

"""Simulated predictions."""

from __future__ import annotations

import numpy as np
import pytest

from committee.predictions.simulation import simulate


def test_accuracy_follows_the_strength() -> None:
    rows = simulate({"good": 4.0, "random": 0.0}, rows=4000, classes=5)
    assert rows.logits.shape == (2, 4000, 5) and rows.labels is not None
    accuracy = (rows.logits.argmax(axis=2) == rows.labels).mean(axis=1)
    assert accuracy[0] > 0.97 and accuracy[1] == pytest.approx(0.2, abs=0.03)


def test_the_seed_determines_the_values() -> None:
    first, again, other = (simulate({"a": 1.0}, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.logits, again.logits)
    assert not np.array_equal(first.logits, other.logits)

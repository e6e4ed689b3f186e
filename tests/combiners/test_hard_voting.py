"""Hard voting predicts the majority."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from committee.combiners.hard_voting import HardVoting


def test_worked_example():
    probs = np.array([[[0.6, 0.4, 0.0]], [[0.6, 0.3, 0.1]], [[0.0, 1.0, 0.0]]]) + 1e-9
    output = np.exp(HardVoting().combine(np.log(probs).astype(np.float32)))
    np.testing.assert_allclose(output, [[(2 + 0.4) / 4, (1 + 1.7 / 3) / 4, 0.1 / 3 / 4]], atol=1e-6)


def test_a_tie_goes_to_the_mean_probability():
    probs = np.array([[[0.6, 0.4, 0.0]], [[0.1, 0.9, 0.0]]]) + 1e-9
    assert HardVoting().combine(np.log(probs).astype(np.float32)).argmax() == 1


@given(arrays(np.float32, (5, 7, 4), elements=st.floats(-200, 200, width=32)))
def test_majority_ties_and_finite_loss(logits):
    output = HardVoting()(torch.from_numpy(logits)).numpy()
    assert np.isfinite(output).all()
    np.testing.assert_allclose(np.exp(output.astype(np.float64)).sum(axis=1), 1, atol=1e-5)
    votes = np.eye(4)[softmax(logits, axis=2).argmax(axis=2)].sum(axis=0)
    winner = output.argmax(axis=1)
    assert (votes[np.arange(7), winner] == votes.max(axis=1)).all()

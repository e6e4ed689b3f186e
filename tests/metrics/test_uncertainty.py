"""Uncertainties agree with entropies of scipy, and with votes that are counted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import entropy, mode

from committee.errors import DataError
from committee.metrics import uncertainty
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


def test_the_total_uncertainty_is_the_sum_of_its_two_parts() -> None:
    logits = np.random.default_rng(1).normal(size=(4, 30, 5)) * 2
    total = uncertainty.entropy(np.log(softmax(logits, axis=2).mean(axis=0)))
    parts = uncertainty.expected_entropy(logits) + mutual_information(logits)
    np.testing.assert_allclose(total, parts)
    np.testing.assert_allclose(uncertainty.entropy(logits[0] + 5), entropy(softmax(logits[0], 1), axis=1))


def test_the_variation_ratio_counts_votes() -> None:
    logits = log_softmax(np.random.default_rng(2).normal(size=(7, 50, 4)), axis=2)
    counts = mode(logits.argmax(2), axis=0).count
    np.testing.assert_allclose(uncertainty.variation_ratio(iter(logits)), 1 - counts / 7)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "members: expected at least one member, got none."),
        ([[1.0, 2.0]], "members: expected logits [N, C], got an array [2]."),
        (
            [np.zeros((3, 2)), np.zeros((3, 4))],
            "members: expected logits [3, 2], as of the first member, got an array [3, 4].",
        ),
    ],
)
def test_members_that_do_not_match_are_errors(members, message) -> None:
    for measure in (mutual_information, uncertainty.expected_entropy, uncertainty.variation_ratio):
        with pytest.raises(DataError) as caught:
            measure(members)
        assert str(caught.value) == message

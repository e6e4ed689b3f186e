"""Measures of diversity against numbers computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr

from committee.errors import UnknownNameError
from committee.metrics.diversity import MEASURES, error_correlation, pairwise_diversity
from committee.predictions.table import Predictions
from committee.predictions.target_types import CLASSES


def with_hits(*hits: str) -> Predictions:
    """Members that are right on the rows marked `1`; two classes, all labels 0."""
    right = np.array([[each == "1" for each in line] for line in hits])
    logits = np.where(right[:, :, None], [2.0, 0.0], [0.0, 2.0])
    rows = right.shape[1]
    return Predictions.from_logits(
        logits,
        members=[f"m{k}" for k in range(len(hits))],
        class_names=["x", "y"],
        labels=np.zeros(rows, int),
    )


# Both are right on 4 rows, only the first on 2, only the second on 1, and neither on 3.
PAIR = with_hits("1111110000", "1111001000")


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("disagreement", 0.3),
        ("double_fault", -0.3),
        ("q_statistic", -(4 * 3 - 2 * 1) / (4 * 3 + 2 * 1)),
        ("correlation", -(4 * 3 - 2 * 1) / np.sqrt(6 * 5 * 4 * 5)),
    ],
)
def test_worked_numbers(measure: str, expected: float) -> None:
    assert pairwise_diversity(PAIR, measure)[0, 1] == pytest.approx(expected)


def test_the_correlation_is_that_of_numpy() -> None:
    hits = np.random.default_rng(0).integers(0, 2, (4, 50))
    rows = with_hits(*("".join(map(str, line)) for line in hits))
    np.testing.assert_allclose(error_correlation(rows), np.corrcoef(hits), atol=1e-12)


def test_the_divergence_is_that_of_scipy() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 40, 5)).astype(np.float32)
    rows = Predictions.from_logits(logits, members=list("abc"), class_names=list("vwxyz"))
    probs = np.exp(log_softmax(logits.astype(float), axis=2))
    expected = (rel_entr(probs[0], probs[2]).sum() + rel_entr(probs[2], probs[0]).sum()) / 2 / 40
    assert pairwise_diversity(rows, "kl")[0, 2] == pytest.approx(expected, rel=1e-4)


def with_errors(errors: np.ndarray, scale: float = 1.0) -> Predictions:
    """Members with errors `[M, N, T]` on numbers."""
    labels = np.random.default_rng(1).normal(size=errors.shape[1:]) * [1.0, 50.0]
    values = (labels + errors * labels.std(axis=0)) * scale
    names = [f"m{k}" for k in range(len(errors))]
    return Predictions.from_values(values, members=names, target_names=["a", "b"], labels=labels * scale)


def test_measures_of_numbers_against_numpy() -> None:
    errors = np.random.default_rng(0).normal(size=(4, 50, 2)) + 0.5
    errors[1] += errors[0]
    for scale in (1.0, 1e-6, 1e6):
        rows = with_errors(errors, scale)
        expected = np.mean([np.corrcoef(errors[:, :, target]) for target in (0, 1)], axis=0)
        np.testing.assert_allclose(error_correlation(rows), expected, atol=1e-5)
        distance = np.square(errors[:, None] - errors).mean(axis=(2, 3))
        np.testing.assert_allclose(pairwise_diversity(rows, "disagreement"), distance, atol=1e-5)


def test_errors_that_are_the_same_in_all_rows() -> None:
    errors = np.zeros((4, 20, 2))
    errors[2], errors[3] = 1.0, np.random.default_rng(0).normal(size=(20, 2))
    found = error_correlation(with_errors(errors))
    np.testing.assert_allclose(found, [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], atol=1e-9)


def test_a_measure_that_numbers_do_not_have() -> None:
    with pytest.raises(UnknownNameError) as caught:
        pairwise_diversity(with_errors(np.zeros((2, 3, 2))), "kl")
    assert str(caught.value) == "diversity: expected one of disagreement, correlation, got 'kl'."


@pytest.mark.parametrize("measure", MEASURES[CLASSES])
def test_identical_members_are_not_diverse(measure: str) -> None:
    rows = with_hits("1101", "1101", "0110")
    found = pairwise_diversity(rows, measure)
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    assert np.isfinite(found).all() and found[0, 1] < found[0, 2]


def test_members_that_never_err_are_alike() -> None:
    assert error_correlation(with_hits("111", "111", "110"))[0].tolist() == [1.0, 1.0, 0.0]


def test_an_unknown_measure() -> None:
    with pytest.raises(UnknownNameError) as caught:
        pairwise_diversity(PAIR, "disagrement")
    assert str(caught.value) == (
        "diversity: expected one of disagreement, double_fault, q_statistic, correlation, kl, "
        "got 'disagrement'. Did you mean 'disagreement'?"
    )

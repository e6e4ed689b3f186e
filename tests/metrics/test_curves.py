"""Data of curves: their summaries are the metrics, and outside definitions find the same areas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import auc

from committee.errors import CommitteeError
from committee.metrics.classification import evaluate
from committee.metrics.curves import reliability, risk_coverage

RANDOM = np.random.default_rng(0)
LOG_PROBS = log_softmax(RANDOM.normal(size=(700, 3)) * 2, axis=1)
LABELS = RANDOM.integers(0, 3, 700)


@pytest.mark.parametrize(("equal", "metric"), [("width", "ece"), ("mass", "ece_mass")])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_error_of_a_diagram_is_the_metric(equal, metric, dtype) -> None:
    log_probs = LOG_PROBS.astype(dtype)
    found = reliability(log_probs, LABELS, equal=equal)
    assert found.ece == pytest.approx(evaluate(log_probs, LABELS, [metric])[metric], abs=1e-8)
    assert found.count.sum() == len(LABELS) and len(found.edges) == 16


def test_a_diagram_is_that_of_scikit_learn() -> None:
    found = reliability(LOG_PROBS, LABELS, bins=8)
    correct = LOG_PROBS.argmax(1) == LABELS
    accuracy, confidence = calibration_curve(correct, np.exp(LOG_PROBS.max(1)), n_bins=8)
    used = found.count > 0
    assert np.isnan(found.accuracy[~used]).all() and not used.all()
    np.testing.assert_allclose(found.accuracy[used], accuracy)
    np.testing.assert_allclose(found.confidence[used], confidence)


def test_areas_under_the_data_of_a_curve() -> None:
    curve, scores = risk_coverage(LOG_PROBS, LABELS), evaluate(LOG_PROBS, LABELS, ["aurc", "augrc"])
    assert curve.risk.mean() == pytest.approx(scores["aurc"])
    with_origin = auc(np.append(0, curve.coverage), np.append(0, curve.generalized_risk))
    assert with_origin == pytest.approx(scores["augrc"])  # Traub et al. (2024), equation 7
    rows = len(LABELS)  # torch-uncertainty 0.13: the trapezoidal rule, from 1 / N to 1
    for name, risk in (("aurc", curve.risk), ("augrc", curve.generalized_risk)):
        assert auc(curve.coverage, risk) / (1 - 1 / rows) == pytest.approx(scores[name], abs=2 / rows)
    assert (np.diff(curve.threshold) <= 0).all()


def test_rows_can_be_selected_by_any_score() -> None:
    score = RANDOM.random(len(LABELS))
    curve = risk_coverage(LOG_PROBS, LABELS, score)
    chosen = score >= curve.threshold[99]
    wrong = LOG_PROBS.argmax(1) != LABELS
    assert curve.risk[99] == pytest.approx(wrong[chosen].mean())
    assert curve.generalized_risk[99] == pytest.approx((wrong & chosen).mean())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reliability(LOG_PROBS, LABELS, bins=0), "reliability: bins: expected at least 1, got 0."),
        (
            lambda: reliability(LOG_PROBS, LABELS, equal="size"),
            "reliability: equal: expected width or mass, got 'size'.",
        ),
        (
            lambda: risk_coverage(LOG_PROBS, LABELS, [0.5]),
            "confidence: expected 700 finite numbers, one for each row, got an array [1].",
        ),
        (
            lambda: risk_coverage(LOG_PROBS, LABELS, np.full(700, np.nan)),
            "confidence: expected 700 finite numbers, one for each row, got NaN or infinity.",
        ),
    ],
)
def test_bad_arguments_are_errors(call, message) -> None:
    with pytest.raises(CommitteeError) as caught:
        call()
    assert str(caught.value) == message

"""Vector scaling: a scale and a bias for each class of the combined output."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from committee.combiners.temperature import Temperature
from committee.combiners.vector_scaling import VectorScaling
from committee.errors import UsageError
from committee.predictions.simulation import simulate
from committee.predictions.table import Predictions
from committee.scoring.scores import score_all


@pytest.fixture(scope="module")
def shifted() -> Predictions:
    """Members that predict the first class too often."""
    rows = simulate({"a": 1.0, "b": 1.0}, rows=3000)
    return replace(rows, logits=rows.logits + np.array([1.5, 0, 0], np.float32))


def test_it_corrects_a_class_that_is_predicted_too_often(shifted: Predictions) -> None:
    found = score_all({"one": Temperature(), "each": VectorScaling()}, shifted)
    one, each = (found[name][1].cross_fitted for name in ("one", "each"))
    assert each["log_loss"].value < one["log_loss"].value - 0.05
    assert each["accuracy"].value > one["accuracy"].value + 0.02


def test_it_is_the_temperature_where_classes_do_not_differ() -> None:
    rows = simulate({"a": 1.0, "b": 1.0}, rows=200)
    found = score_all({"one": Temperature(), "each": VectorScaling()}, rows)
    one, each = (found[name][1].cross_fitted["log_loss"].value for name in ("one", "each"))
    assert each < one + 0.02
    assert found["each"][0].notes()["temperature"] == pytest.approx(found["one"][0].notes()["temperature"])


def test_a_tight_prior_is_the_temperature(shifted: Predictions) -> None:
    tight, one = VectorScaling(spread=1e-4).fit(shifted), Temperature().fit(shifted)
    np.testing.assert_allclose(tight.combine(shifted.logits), one.combine(shifted.logits), atol=1e-3)


def test_a_spread_that_cannot_be(shifted: Predictions) -> None:
    with pytest.raises(UsageError) as caught:
        VectorScaling(spread=0.0).fit(shifted)
    assert str(caught.value) == "vector_scaling.spread: expected a number above 0, got 0.0."

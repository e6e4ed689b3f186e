"""Draws of gains beside stored scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from committee.errors import StoreError
from committee.pipeline.shared.draws import DRAWS, as_family, read_draws, write_draws
from committee.scoring.draws import Draws
from committee.scoring.gains import Gain

METRICS = ("accuracy", "log_loss")
DRAWN = np.random.default_rng(0).normal(size=(2, 2, 500)).astype(np.float32)


def test_draws_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_draws(tmp_path, Draws(METRICS, *DRAWN))
    found = read_draws(tmp_path, METRICS, "Run: committee evaluate")
    np.testing.assert_array_equal(found.scores, DRAWN[0])
    np.testing.assert_array_equal(found.gains, DRAWN[1])
    assert found.metrics == METRICS and found.scores_of("auroc") is None
    np.testing.assert_array_equal(found.scores_of("log_loss"), DRAWN[0, 1])


def test_missing_draws_and_draws_of_other_metrics_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as error:
        read_draws(tmp_path, METRICS, "Run: committee evaluate")
    assert str(error.value) == (
        f"{tmp_path / DRAWS}: expected draws of the gains, got no file. Run: committee evaluate"
    )
    write_draws(tmp_path, Draws(METRICS, *DRAWN))
    with pytest.raises(StoreError) as error:
        read_draws(tmp_path, ["accuracy"], "Run: committee evaluate")
    assert str(error.value) == (
        f"{tmp_path / DRAWS}: expected draws [2, 1, R], got float32 [2, 2, 500]. Run: committee evaluate"
    )


def test_a_family_has_the_models_that_have_the_metric() -> None:
    """The second model has no gain in accuracy, so the first is alone there."""
    gains = {name: Gain(name, 0.0202, 0.01, 0.0, 5000, "x").to_json() for name in METRICS}
    one = Draws(METRICS, *DRAWN)
    other = Draws(("log_loss",), DRAWN[0, :1], DRAWN[0, :1])
    found = as_family({"one": (gains, one), "other": ({"log_loss": gains["log_loss"]}, other)})
    assert found["one"]["accuracy"]["critical"] == pytest.approx(1.96, abs=0.01)
    assert found["one"]["accuracy"]["proven"]
    assert set(found["other"]) == {"log_loss"}
    assert found["one"]["log_loss"]["critical"] == found["other"]["log_loss"]["critical"]

"""An exported file becomes a model of MLflow, which is registered, loads there, and predicts the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from committee.errors import UsageError
from committee.exporters.base import open_exported
from committee.pipeline.bundling.subject import Subject
from committee.trackers.base import Results, Run
from committee.trackers.mlflow import Mlflow

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings("default")
def test_a_registered_model_loads_and_predicts(
    subject: Callable[..., Subject], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    made, uri = subject(), (tmp_path / "runs").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)  # `load_model` makes a database in the current folder else
    tracker = Mlflow(uri, register="insects")
    tracker.open(Run("1", "x", tmp_path))
    tracker.close(Results(exported={"mean": made.file}), "finished")
    version = mlflow.MlflowClient(uri).get_model_version("insects", "1")
    model = mlflow.pyfunc.load_model(version.source)
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 50), dtype=np.uint8)
    found = model.predict(images)
    assert list(found.columns) == list(made.class_names)
    np.testing.assert_array_equal(found.to_numpy(), open_exported(made.file)(images))
    with pytest.raises(UsageError, match="expected an exported model, got none"):
        tracker._register(Results())

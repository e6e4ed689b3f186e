import csv
import importlib.util

import pytest

from committee.training.journal import Tracker, write_csv

ROW = {"epoch": 1, "phase": "all", "lr": 0.1, "train_loss": 2.0, "seconds": 0.5}


def test_a_line_an_epoch(tmp_path):
    write_csv(tmp_path / "e.csv", [ROW, {**ROW, "epoch": 2, "inner_accuracy": 0.5}])
    with (tmp_path / "e.csv").open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["epoch"], first["train_loss"], first["inner_accuracy"]) == ("1", "2.0", "")
    assert (second["epoch"], second["inner_accuracy"]) == ("2", "0.5")


def test_nothing_is_tracked_unless_asked_for():
    tracker = Tracker("m/fold_0")
    tracker.log(ROW)
    tracker.finish()
    assert tracker.run_id == ""


def test_a_missing_mlflow_is_a_warning(monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///x")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    Tracker("m/fold_0").log(ROW)
    assert caplog.messages == [
        "MLFLOW_TRACKING_URI is set, but MLflow is missing: pip install 'committee[mlflow]'"
    ]


@pytest.mark.filterwarnings("default")
def test_mlflow_gets_each_epoch_and_a_resumed_fit_its_own_run(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    # A file store, since setting up a database takes longer than all other tests of this file.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    first = Tracker("m/fold_0")
    first.log(ROW)
    resumed = Tracker("m/fold_0", first.run_id)
    resumed.log({**ROW, "epoch": 2, "train_loss": 1.0})
    resumed.finish()
    run = mlflow.MlflowClient().get_run(first.run_id)
    history = mlflow.MlflowClient().get_metric_history(first.run_id, "train_loss")
    assert [(each.step, each.value) for each in history] == [(1, 2.0), (2, 1.0)]
    assert (run.info.run_name, run.info.status) == ("m/fold_0", "FINISHED")


def test_a_failing_mlflow_does_not_end_the_fit(monkeypatch, caplog):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "no-such-scheme://x")
    Tracker("m/fold_0").log(ROW)
    (message,) = caplog.messages
    assert message.startswith("MLflow gets no more of this fit (its CSV does): ")

import contextlib
import csv
import importlib.util

import pytest

from committee.errors import TrainingError
from committee.tasks import Classification, Regression
from committee.training.fit.journal import MlflowRun, columns, describe_epoch, epoch_seconds, write_csv
from committee.training.fit.train import train

ROW = {"epoch": 1, "phase": "all", "lr": 0.1, "train_loss": 2.0, "seconds": 0.5}
FIELDS = columns(Classification(), "accuracy")


def test_a_line_an_epoch(tmp_path):
    write_csv(tmp_path / "e.csv", [ROW, {**ROW, "epoch": 2, "inner_accuracy": 0.5}], FIELDS)
    with (tmp_path / "e.csv").open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["epoch"], first["train_loss"], first["inner_accuracy"]) == ("1", "2.0", "")
    assert (second["epoch"], second["inner_accuracy"]) == ("2", "0.5")


def test_a_line_has_the_metrics_of_the_task():
    assert columns(Regression(), "mae")[4:9] == (
        "train_mae",
        "seconds",
        "inner_rmse",
        "inner_mae",
        "inner_r2",
    )
    row = {**ROW, "train_mae": 4.25, "inner_rmse": 1234.5, "inner_mae": 0.75, "inner_r2": 0.5}
    text = "epoch 1/3, loss 2.000, mae 4.25, validation slice: rmse 1234, mae 0.75, 0.5 s"
    assert describe_epoch(row, 3) == text


def test_the_seconds_of_a_fit_are_those_of_all_its_networks(tmp_path):
    assert epoch_seconds(tmp_path) is None
    write_csv(tmp_path / "epochs.csv", [ROW, ROW], FIELDS)
    write_csv(tmp_path / "expert_0_epochs.csv", [{**ROW, "seconds": 2.0}], FIELDS)
    assert epoch_seconds(tmp_path) == 3.0


def test_nothing_is_tracked_unless_asked_for():
    with MlflowRun("m/fold_0") as tracker:
        tracker.log(ROW)
    assert tracker.run_id == ""


def test_a_missing_mlflow_is_a_warning(monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///x")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    MlflowRun("m/fold_0").log(ROW)
    assert caplog.messages == [
        "MLFLOW_TRACKING_URI is set, but MLflow is not installed: pip install 'committee[mlflow]'"
    ]


@pytest.mark.filterwarnings("default")
def test_mlflow_gets_each_epoch_and_a_resumed_fit_its_own_run(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    # A file store, since setting up a database takes longer than all other tests of this file.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    client = mlflow.MlflowClient()
    runs = []
    for error, epoch in ((KeyboardInterrupt, 1), (ArithmeticError, 2), (None, 3)):
        ending = pytest.raises(error) if error else contextlib.nullcontext()
        with ending, MlflowRun("m/fold_0", runs[0].info.run_id if runs else "") as tracker:
            tracker.log({**ROW, "epoch": epoch, "train_loss": 3.0 - epoch})
            assert client.get_run(tracker.run_id).info.status == "RUNNING"
            runs.append(client.get_run(tracker.run_id))
            if error:
                raise error
        runs[-1] = client.get_run(tracker.run_id)
    assert [(run.info.run_name, run.info.status) for run in runs] == [
        ("m/fold_0", "KILLED"),
        ("m/fold_0", "FAILED"),
        ("m/fold_0", "FINISHED"),
    ]
    history = client.get_metric_history(runs[0].info.run_id, "train_loss")
    assert [(each.step, each.value) for each in history] == [(1, 2.0), (2, 1.0), (3, 0.0)]


def test_a_failing_mlflow_does_not_end_the_fit(monkeypatch, caplog):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "no-such-scheme://x")
    MlflowRun("m/fold_0").log(ROW)
    (message,) = caplog.messages
    assert message.startswith("MLflow failed and records no more of this fit; its CSV file continues: ")


@pytest.mark.filterwarnings("default")
def test_the_run_of_a_fit_that_fails_is_not_left_running(making, dataset, cpu, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    spec = making.make_spec("backbones.include=['python:hostile_nets:fussy']")
    with pytest.raises(TrainingError):
        train(spec, dataset, dataset.rows("train"), fold="fold_0", device=cpu)
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("committee").experiment_id])
    assert run.info.status == "FAILED"

import contextlib
import csv

import pytest

from committee.base.events import listening
from committee.errors import TrainingError
from committee.tasks import Classification, Regression
from committee.training.fit.journal import columns, describe_epoch, epoch_seconds, write_csv
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


@pytest.mark.parametrize(
    ("networks", "statuses"), [("tiny_nets:tiny", ["finished"]), ("hostile_nets:fussy", ["failed"])]
)
def test_a_fit_tells_its_epochs_and_how_it_ends(making, dataset, cpu, networks, statuses):
    spec, events = making.make_spec(f"backbones.include=['python:{networks}']"), []
    with listening(events.append), contextlib.suppress(TrainingError):
        train(spec, dataset, dataset.rows("train"), fold="fold_0", device=cpu)
    assert {event.fit for event in events} == {f"{spec.name}/fold_0"}
    assert events[0].kind == "begin" and [event.status for event in events if event.kind == "end"] == statuses
    epochs = [event.rows[0]["epoch"] for event in events if event.kind == "epoch"]
    assert epochs == (list(range(1, spec.training.epochs + 1)) if statuses == ["finished"] else [])

"""A run is recorded by the trackers of its recipe, and one that fails makes the exit code 3."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from committee.errors import RecipeError, StoreError
from committee.pipeline.shared import tracking
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.tracking import tracked
from committee.recipe.load import load_recipe
from committee.store.layout import Store


@pytest.fixture
def settings(tiny_settings: list[str], own_nets: str) -> list[str]:
    """A recipe that trains a tiny network in a moment."""
    chosen = ["training.epochs=2", "training.folds=2", "exports.enable=false", "workers=2"]
    return [*tiny_settings, f"backbones.include=['{own_nets}:small']", *chosen]


def test_a_run_records_epochs_of_all_processes_leaderboard_and_failures(
    settings: list[str], tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    bad = tmp_path / "file"
    bad.write_text("")
    trackers = f"tracking=[csv, {{name: csv, folder: '{bad}'}}]"
    words = [word for each in [*settings, trackers] for word in ("--set", each)]
    said = cli("run", *words, "--store", tmp_path / "store", "--json")
    assert said.code == 3, said.err
    assert "The tracker csv_1 failed and records no more of this run" in said.err
    (place,) = (tmp_path / "store" / "tracking" / "csv").iterdir()
    with (place / "epochs.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    epochs = {(each["fit"], each["epoch"]) for each in lines if each["metric"] == "train_loss"}
    folds = ("fold_0", "fold_1", "refit")
    assert epochs >= {(f"own_nets_small/{fold}", "1") for fold in folds}
    facts = json.loads((place / "run.json").read_text("utf-8"))
    assert facts["status"] == "finished" and facts["recipe"]["training"]["folds"] == 2 and facts["data"]
    table = (place / "leaderboard.csv").read_text("utf-8").splitlines()
    assert table[0].startswith("name,kind,cross_fitted.") and len(table) > 1
    assert "metrics/own_nets_small.json" in (place / "artifacts.csv").read_text("utf-8")


def test_a_run_that_fails_before_it_begins_makes_no_store(tmp_path: Path) -> None:
    recipe = load_recipe(None, ["tracking=csv"])
    with pytest.raises(ZeroDivisionError), tracked(recipe, Store(tmp_path / "store"), Outcome()):
        raise ZeroDivisionError
    assert not (tmp_path / "store").exists()


def test_damaged_results_are_named_and_the_run_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(_: Store) -> None:
        raise StoreError("metrics.json", expected="a report", got="a damaged one")

    monkeypatch.setattr(tracking, "read_reports", damaged)
    store.root.mkdir()
    outcome = Outcome(done=["a"])
    with tracked(load_recipe(None, ["tracking=csv"]), store, outcome):
        pass
    assert outcome.exit_code == 3 and list(outcome.failed) == ["tracking (results)"]
    (place,) = (store.root / "tracking" / "csv").iterdir()
    assert json.loads((place / "run.json").read_text("utf-8"))["status"] == "finished"


def test_the_variable_of_mlflow_without_the_package_is_a_warning(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///x")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    outcome = Outcome()
    with tracked(load_recipe(None, []), store, outcome):
        pass
    assert outcome.exit_code == 0 and caplog.messages == [
        "MLFLOW_TRACKING_URI is set, but nothing is tracked: tracking with mlflow: expected the package "
        "'mlflow', got none installed. Install it with: pip install 'committee[mlflow]'"
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("mlfow", "expected one of csv, mlflow, tensorboard, wandb, got 'mlfow'. Did you mean 'mlflow'?"),
        ("{name: csv, foldr: x}", "expected an option of csv (folder), got 'x'. Did you mean 'folder'?"),
        ("{name: wandb, mode: later}", "one of auto, online, offline"),
    ],
)
def test_what_no_tracker_takes_is_named(value: str, text: str) -> None:
    with pytest.raises(RecipeError) as refused:
        load_recipe(None, [f"tracking={value}"])
    assert text in str(refused.value)

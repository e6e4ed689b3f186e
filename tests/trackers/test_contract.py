"""Every tracker records the same run: recipe, epochs of each fit, how they end, leaderboard, files."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from committee.base.events import reported
from committee.trackers.base import TRACKERS, Results, Run, Tracker, why_missing
from committee.trackers.shared.record import Record

pytestmark = pytest.mark.slow

Curves = dict[str, list[tuple[int, float]]]
ROWS = [{"name": "=a@b", "kind": "member", "cross_fitted.accuracy": 0.75, "size_mb": 2.0}]
WANTED: Curves = {"a/fold_0": [(1, 0.5), (2, 0.25), (3, 0.125)], "b/fold_0": [(1, 4.0)]}


def row(epoch: int, loss: float) -> dict[str, Any]:
    return {"epoch": epoch, "phase": "all", "train_loss": loss}


def record_run(
    make: Callable[[], Tracker], name: str, folder: Path, results: Results
) -> dict[str, Exception]:
    """Record a run that is interrupted in the third epoch of one fit, then a run that resumes it."""
    facts = {"seed": 7, "versions": {"torch": "2"}}

    def begin(number: str) -> Record:
        run = Run(number, "digits", folder / name, facts, {"training": {"folds": 2}})
        return Record({name: make()}, lambda _: run, folder)

    first = begin("1")
    with first.listening(), contextlib.suppress(KeyboardInterrupt), reported("a/fold_0", []) as a:
        a(row(1, 0.5))
        with contextlib.suppress(ZeroDivisionError), reported("b/fold_0", []) as b:
            b(row(1, 4.0))
            raise ZeroDivisionError
        a(row(2, 0.25))
        raise KeyboardInterrupt
    first.close(Results(), "killed")
    second = begin("2")
    with second.listening(), reported("a/fold_0", [row(1, 0.5), row(2, 0.25)]) as a:
        a(row(3, 0.125))
    second.close(results, "finished")
    return {**first.failed, **second.failed}


def read_csv(folder: Path) -> Iterator[tuple[str, int, float]]:
    for number, last in (("1", "killed"), ("2", "finished")):
        place = folder / number
        told_of = json.loads((place / "run.json").read_text("utf-8"))
        assert (told_of["status"], told_of["seed"], told_of["recipe"]) == (
            last,
            7,
            {"training": {"folds": 2}},
        )
        with (place / "epochs.csv").open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        yield from (
            (line["fit"], int(line["epoch"]), float(line["value"]))
            for line in lines
            if line["metric"] == "train_loss"
        )
        ends = {line["fit"]: line["value"] for line in lines if line["metric"] == "status"}
        assert ends == ({"a/fold_0": "killed", "b/fold_0": "failed"} if number == "1" else {"a/fold_0": last})
    assert (folder / "2" / "leaderboard.csv").read_text("utf-8").splitlines()[1] == "'=a@b,member,0.75,2.0"
    (line,) = (folder / "2" / "artifacts.csv").read_text("utf-8").splitlines()[1:]
    assert line.startswith("metrics/a.json,") and len(line.rpartition(",")[2]) == 64


def read_tensorboard(folder: Path) -> Iterator[tuple[str, int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for place in folder.rglob("events*"):
        found = EventAccumulator(str(place))
        found.Reload()
        fit = place.parent.relative_to(folder).as_posix().partition("/")[2]
        for key in {"train_loss"} & set(found.Tags()["scalars"]):
            yield from ((fit, each.step, each.value) for each in found.Scalars(key))
        if fit == "run" and place.is_relative_to(folder / "2"):
            assert found.Scalars("=a@b/cross_fitted.accuracy")[0].value == 0.75
            texts = {"recipe/text_summary", "leaderboard/text_summary", "metrics/a.json/text_summary"}
            assert texts < set(found.Tags()["tensors"])


def read_mlflow(folder: Path) -> Iterator[tuple[str, int, float]]:
    import mlflow

    client = mlflow.MlflowClient((folder / "runs").as_uri())
    number = client.get_experiment_by_name("digits").experiment_id
    runs = {run.info.run_name: run for run in client.search_runs([number])}
    status = {name: run.info.status for name, run in runs.items()}
    assert status == {
        "a/fold_0": "FINISHED",
        "b/fold_0": "FAILED",
        "digits 1": "KILLED",
        "digits 2": "FINISHED",
    }
    main = runs["digits 2"]
    assert main.data.params == {"seed": "7", "versions.torch": "2"}
    assert main.data.metrics == {"_a_b/cross_fitted.accuracy": 0.75, "_a_b/size_mb": 2.0}
    assert {each.path for each in client.list_artifacts(main.info.run_id)} == {
        "leaderboard.csv",
        "metrics",
        "recipe.json",
    }
    assert runs["a/fold_0"].data.tags["mlflow.parentRunId"] == runs["digits 1"].info.run_id
    for name in WANTED:
        history = client.get_metric_history(runs[name].info.run_id, "train_loss")
        yield from ((name, each.step, each.value) for each in history)


def records_of(file: Path) -> Iterator[bytes]:
    """Yield the records of a file of wandb: after 7 bytes, a log of LevelDB, in blocks of 32 KiB."""
    data, place, parts = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if (left := 2**15 - place % 2**15) < 7:
            place += left
            continue
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        parts += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def read_wandb(folder: Path) -> Iterator[tuple[str, int, float]]:
    import wandb
    from wandb.proto import wandb_internal_pb2

    wandb.teardown()  # its service process may still be writing
    names: dict[str, str] = {}
    for file in sorted(folder.rglob("*.wandb")):
        run = ""
        for data in records_of(file):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.HasField("run"):
                run = record.run.run_id
                names[run] = record.run.display_name
                assert record.run.run_group in ("1", "2") and record.run.project == "digits"
            elif record.HasField("history"):
                items = record.history.item
                values = {each.key or ".".join(each.nested_key): each.value_json for each in items}
                if "train_loss" in values:
                    yield names[run], record.history.step.num, float(values["train_loss"])
    assert sorted(names.values()) == ["a/fold_0", "b/fold_0", "digits 1", "digits 2"]


READERS = {
    "csv": (read_csv, {}),
    "tensorboard": (read_tensorboard, {}),
    "mlflow": (read_mlflow, {}),
    "wandb": (read_wandb, {"mode": "offline"}),
}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", TRACKERS.names())
def test_a_run_and_the_run_that_resumes_it(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    if (missing := why_missing(TRACKERS.load(name))) is not None:
        pytest.skip(str(missing))
    read, options = READERS.get(name, (None, {}))
    # A file store, since setting up a database takes longer than all other tests of this file.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlflow" / "runs").as_uri())
    report = tmp_path / "a.json"
    report.write_text("{}")
    results = Results(ROWS, {"metrics/a.json": report})
    failed = record_run(lambda: TRACKERS.make(name, **options), name, tmp_path, results)
    assert not failed, failed
    if read is None:
        return
    found: Curves = {}
    for fit, epoch, value in read(tmp_path / name):
        found.setdefault(fit, []).append((epoch, value))
    assert {fit: sorted(set(points)) for fit, points in found.items()} == WANTED


class Fragile(Tracker):
    """Fails at one of its methods."""

    def __init__(self, at: str) -> None:
        self.at, self.calls = at, list[str]()

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self.at:
            raise OSError("no ink\nand no paper")

    def open(self, run: Run) -> None:
        self._call("open")

    def begin(self, fit: str, key: str) -> str:
        self._call("begin")
        return ""

    def epoch(self, fit: str, row: Any) -> None:
        self._call("epoch")

    def end(self, fit: str, status: str) -> None:
        self._call("end")

    def close(self, results: Results, status: str) -> None:
        self._call("close")


@pytest.mark.parametrize("at", ["open", "begin", "epoch", "end", "close"])
def test_a_tracker_that_fails_is_named_once_and_the_others_go_on(
    at: str, tmp_path: Path, caplog: Any
) -> None:
    bad, good = Fragile(at), Fragile("")
    record = Record({"bad": bad, "good": good}, lambda _: Run("1", "x", tmp_path), tmp_path)
    with record.listening(), reported("a/fold_0", []) as epoch:
        epoch(row(1, 0.5))
        epoch(row(2, 0.5))
    record.close(Results(), "finished")
    assert good.calls == ["open", "begin", "epoch", "epoch", "end", "close"]
    assert bad.calls == good.calls[: good.calls.index(at) + 1]
    assert str(record.failed["bad"]).startswith("no ink")
    assert caplog.messages == ["The tracker bad failed and records no more of this run: no ink"]

"""Fits on a Ray cluster: the bytes of a local run, through the loss of a worker and of the driver."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
import torch

from committee.base.events import Event, listening
from committee.errors import CommitteeError, MismatchError, UsageError
from committee.executors import ray as module
from committee.executors._ray_flight import Flight
from committee.executors.in_process import InProcess
from committee.executors.ray import Ray
from committee.store.layout import Store
from committee.training.crossfit.crossfits import Fits, crossfit
from committee.training.plans.base import Plan
from committee.training.plans.single import Single

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="no process groups")]
CPU = torch.device("cpu")
NETS = Path(__file__).parents[1] / "training" / "nets"


@pytest.fixture(scope="module")
def making() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(NETS))
        patch.setenv("PYTHONPATH", str(NETS), prepend=os.pathsep)
        import making

        yield making


def without_times(path: Path) -> Any:
    """Return the content of a file of a store, without what differs between two equal runs: seconds."""
    if path.name.endswith("epochs.csv"):
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
    if path.name == "manifest.json":
        found = json.loads(path.read_text(encoding="utf-8"))
        del found["digest"]
        found["files"] = {name: each for name, each in found["files"].items() if "epochs" not in name}
        return found
    return path.read_bytes()


def contents(store: Store) -> dict[str, Any]:
    """Return the content of all files of a store."""
    files = (path for path in store.root.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(store.root).as_posix(): without_times(path) for path in files}


def plans_of(making: ModuleType, folder: Path, store: Store, *nets: str, epochs: int = 3) -> list[Plan]:
    dataset = making.make_dataset(folder)
    words = f"training.epochs={epochs}"
    return [Single(making.make_spec(words, net=net), dataset, store, CPU) for net in nets]


@pytest.fixture(scope="module")
def alone(making: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The store of an undisturbed run in one process."""
    folder = tmp_path_factory.mktemp("alone")
    store = Store(folder / "store")
    plans = plans_of(making, folder / "data", store, "tiny", "perceptron")
    with store.hold():
        assert [error for _, error in crossfit(plans, store, InProcess())] == [None, None]
    return contents(store)


def test_a_run_on_ray_has_the_files_of_a_local_run(
    making: ModuleType, alone: dict[str, Any], ray_cluster: str, store: Store, tmp_path: Path
) -> None:
    plans = plans_of(making, tmp_path / "data", store, "tiny", "perceptron")
    executor = Ray(address=ray_cluster)
    with store.hold():
        assert [error for _, error in crossfit(plans, store, executor)] == [None, None]
    assert contents(store) == alone
    assert executor.describe() == "Ray, nodes 127.0.0.2 (2 CPUs, 0 GPUs)"


def kill_worker_of(fit: str) -> bool:
    """Kill the process of Ray that makes a fit; return whether there is one."""
    for each in psutil.process_iter(["cmdline"]):
        if (each.info["cmdline"] or [""])[0].startswith(f"ray::{fit}"):
            each.kill()
            return True
    return False


def test_a_killed_worker_costs_nothing_but_time(
    making: ModuleType, alone: dict[str, Any], ray_cluster: str, store: Store, tmp_path: Path
) -> None:
    killed = list[str]()

    def kill_once(event: Event) -> None:
        if event.kind == "epoch" and not killed and kill_worker_of(event.fit):
            killed.append(event.fit)

    plans = plans_of(making, tmp_path / "data", store, "tiny", "perceptron")
    with store.hold(), listening(kill_once):
        assert [error for _, error in crossfit(plans, store, Ray(address=ray_cluster))] == [None, None]
    assert killed and contents(store) == alone


RUN = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
from committee.base.events import add_listener
from committee.executors.ray import Ray
from committee.store.layout import Store
from committee.training.crossfit.crossfits import crossfit
from committee.training.plans.single import Single
from making import make_dataset, make_spec

root, store = Path(sys.argv[1]), Store(sys.argv[2])
add_listener(lambda event: print(event.kind, flush=True))
data = make_dataset(root)
plans = [Single(make_spec(net=net), data, store, torch.device("cpu")) for net in ("tiny", "perceptron")]
with store.hold():
    list(crossfit(plans, store, Ray(address=sys.argv[3])))
"""


def test_what_a_killed_run_has_stored_is_not_made_again(
    making: ModuleType, alone: dict[str, Any], ray_cluster: str, store: Store, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path / "data"), str(store.root), ray_cluster]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while not store.members():
            assert process.stdout.readline(), "the run has ended"
        process.kill()
    kept = {f"{name}/{fit}" for name in store.members() for fit in store.folds(name)}
    begun = list[str]()
    plans = plans_of(making, tmp_path / "data", store, "tiny", "perceptron")
    with store.hold(), listening(lambda event: begun.append(event.fit)):
        assert [error for _, error in crossfit(plans, store, Ray(address=ray_cluster))] == [None, None]
    assert kept and kept.isdisjoint(begun) and contents(store) == alone


def test_nodes_that_lack_something_are_named_before_any_fit(
    making: ModuleType, ray_cluster: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = plans_of(making, tmp_path / "data", store, "tiny")
    wanted = module._wanted(Fits(plans, store))
    versions = {"torch": "0.1", "committee": "code 0"}
    changed = {"modules": ["no_such_module"], "versions": versions, "files": {"/weights.pt": ""}}
    monkeypatch.setattr(module, "_wanted", lambda work: wanted | changed)
    with store.hold(), pytest.raises(MismatchError) as error:
        list(crossfit(plans, store, Ray(address=ray_cluster)))
    text = str(error.value)
    assert text.startswith("nodes of the Ray cluster: expected what this process has, got 4 differences.")
    assert re.search(r"127\.0\.0\.2: torch +0\.1 +2\.", text)
    assert re.search(r"127\.0\.0\.2: the module 'no_such_module' +one that can be imported +none", text)
    assert re.search(r"127\.0\.0\.2: /weights\.pt +the file of the driver +none", text)
    assert not store.members()


def test_late_nodes_that_differ_get_no_fits_and_the_last_one_ends_the_run(ray_cluster: str) -> None:
    class Alone:
        """A cluster of one node."""

        def nodes(self) -> list[dict[str, Any]]:
            return [{"NodeID": "n1", "NodeManagerAddress": "10.0.0.7", "Alive": True}]

    flight = Flight.__new__(Flight)
    flight.ray, flight._avoided = Alone(), []
    with pytest.raises(CommitteeError) as error:
        flight._avoid("n1", ["torch: expected 2.15, got 2.14"])
    assert str(error.value) == (
        "executor ray: expected a node with what this process has, got none: 10.0.0.7: torch: expected 2.15, "
        "got 2.14. Install the same versions on all nodes, and run the same command again."
    )


@pytest.mark.parametrize("option", [{"cpus": 0}, {"gpus": -1.0}, {"retries": -1}])
def test_options_out_of_range_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"executor.{next(iter(option))}: expected at least"):
        Ray(**option)


def test_a_fit_that_no_node_has_room_for_is_refused(ray_cluster: str) -> None:
    with pytest.raises(UsageError) as error:
        Ray(address=ray_cluster, cpus=64).division(4, CPU)
    assert "expected a node with 64 CPUs and 0 GPUs for a fit" in str(error.value)

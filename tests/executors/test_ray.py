"""Fits on a Ray cluster: the bytes of a local run, through the loss of a worker and of the driver."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from committee.base.deadline import Deadline, in_effect
from committee.base.events import Event, listening
from committee.errors import CommitteeError, MismatchError, UnfinishedError, UsageError
from committee.executors import ray as module
from committee.executors._ray_flight import Flight
from committee.executors.in_process import InProcess
from committee.executors.ray import Ray
from committee.store.layout import Store
from committee.training.crossfit.crossfits import Fits, crossfit
from committee.training.plans.base import Plan

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="no process groups")]
CPU = torch.device("cpu")
Plans = Callable[[Path, Store], list[Plan]]
Read = Callable[[Store], dict[str, Any]]


def test_a_run_on_ray_has_the_files_of_a_local_run(
    plans_of: Plans, contents: Read, alone: dict[str, Any], ray_cluster: str, store: Store, tmp_path: Path
) -> None:
    plans = plans_of(tmp_path / "data", store)
    executor = Ray(address=ray_cluster)
    with store.hold():
        assert [error for _, error in crossfit(plans, store, executor)] == [None, None]
    assert contents(store) == alone
    assert executor.describe() == "Ray, nodes 127.0.0.2 (2 CPUs, 0 GPUs)"


def test_a_store_on_object_storage_has_the_same_files(
    plans_of: Plans, contents: Read, alone: dict[str, Any], ray_cluster: str, tmp_path: Path
) -> None:
    store = Store("s3://photos/fits", cache=tmp_path / "first")
    plans = plans_of(tmp_path / "data", store)
    with store.hold():
        assert [error for _, error in crossfit(plans, store, Ray(address=ray_cluster))] == [None, None]
    assert contents(store) == alone
    elsewhere, begun = Store("s3://photos/fits", cache=tmp_path / "second"), list[str]()
    plans = plans_of(tmp_path / "data", elsewhere)
    with elsewhere.hold(), listening(lambda event: begun.append(event.fit)):
        assert [error for _, error in crossfit(plans, elsewhere, Ray(address=ray_cluster))] == [None, None]
    assert not begun


def kill_worker_of(fit: str) -> bool:
    """Kill the process of Ray that makes a fit; return whether there is one."""
    for each in psutil.process_iter(["cmdline"]):
        if (each.info["cmdline"] or [""])[0].startswith(f"ray::{fit}"):
            each.kill()
            return True
    return False


def test_a_killed_worker_costs_nothing_but_time(
    plans_of: Plans, contents: Read, alone: dict[str, Any], ray_cluster: str, store: Store, tmp_path: Path
) -> None:
    killed = list[str]()

    def kill_once(event: Event) -> None:
        if event.kind == "epoch" and not killed and kill_worker_of(event.fit):
            killed.append(event.fit)

    plans = plans_of(tmp_path / "data", store)
    with store.hold(), listening(kill_once):
        assert [error for _, error in crossfit(plans, store, Ray(address=ray_cluster))] == [None, None]
    assert killed and contents(store) == alone


RUN = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
from committee.base.events import add_listener
from committee.base.interrupt import handled
from committee.executors.ray import Ray
from committee.store.layout import Store
from committee.training.crossfit.crossfits import crossfit
from committee.training.plans.single import Single
from making import make_dataset, make_spec

root, store = Path(sys.argv[1]), Store(sys.argv[2])
add_listener(lambda event: print(event.kind, flush=True))
data = make_dataset(root)
plans = [Single(make_spec(net=net), data, store, torch.device("cpu")) for net in ("tiny", "perceptron")]
with handled(), store.hold():
    list(crossfit(plans, store, Ray(address=sys.argv[3])))
"""


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_what_an_ended_run_has_stored_is_not_made_again(
    plans_of: Plans,
    contents: Read,
    alone: dict[str, Any],
    ray_cluster: str,
    store: Store,
    tmp_path: Path,
    end: str,
) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path / "data"), str(store.root), ray_cluster]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while not store.members():
            assert process.stdout.readline(), "the run has ended"
        getattr(process, end)()
    kept = {f"{name}/{fit}" for name in store.members() for fit in store.folds(name)}
    begun = list[str]()
    plans = plans_of(tmp_path / "data", store)
    with store.hold(), listening(lambda event: begun.append(event.fit)):
        assert [error for _, error in crossfit(plans, store, Ray(address=ray_cluster))] == [None, None]
    assert kept and kept.isdisjoint(begun) and contents(store) == alone


def test_fits_that_the_deadline_stops_on_nodes_are_continued_by_any_executor(
    making: Any,
    plans_of: Plans,
    contents: Read,
    alone: dict[str, Any],
    ray_cluster: str,
    store: Store,
    tmp_path: Path,
) -> None:
    plans = plans_of(tmp_path / "data", store)
    with store.hold(), in_effect(Deadline(1, making.Ticking(12))):
        errors = [error for _, error in crossfit(plans, store, Ray(address=ray_cluster))]
    assert all(isinstance(each, UnfinishedError) for each in errors)
    assert "Its state is stored" in str(errors) and list(store.root.glob("checkpoints/*/*.resume"))
    with store.hold():
        assert [error for _, error in crossfit(plans, store, InProcess())] == [None, None]
    assert contents(store) == alone


def test_nodes_that_lack_something_are_named_before_any_fit(
    plans_of: Plans, ray_cluster: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = plans_of(tmp_path / "data", store)[:1]
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
        """A cluster of one node with CPUs; the other one is that of the driver."""

        def nodes(self) -> list[dict[str, Any]]:
            own = {"NodeID": "n0", "NodeManagerAddress": "10.0.0.1", "Alive": True, "Resources": {}}
            return [own, own | {"NodeID": "n1", "NodeManagerAddress": "10.0.0.7", "Resources": {"CPU": 1.0}}]

    flight = Flight.__new__(Flight)
    flight.ray, flight._avoided, flight.threads = Alone(), [], 1
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


@pytest.mark.parametrize(("gpus", "slots"), [(1.0, 3), (0.5, 6), (0.1, 30), (1 / 3, 9), (2.0, 1), (0.0, 80)])
def test_fits_share_gpus(gpus: float, slots: int) -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 40.0, "GPU": count}} for count in (2.0, 1.0)]
    nodes.append({"Alive": False, "Resources": {"CPU": 40.0, "GPU": 8.0}})
    assert Ray()._slots(SimpleNamespace(nodes=lambda: nodes), gpus) == slots


def test_more_fits_are_sent_once_their_share_of_a_gpu_is_known() -> None:
    flight = Flight.__new__(Flight)
    flight.gpus, flight.share, flight._shares = 1.0, True, {}
    assert flight.least_gpus == 1.0
    flight._shares = {"small": 0.25, "large": 0.5}
    assert flight.least_gpus == 0.25
    flight.share = False
    assert flight.least_gpus == 1.0


def test_a_fit_that_no_node_has_room_for_is_refused(ray_cluster: str) -> None:
    with pytest.raises(UsageError) as error:
        Ray(address=ray_cluster, cpus=64).division(4, CPU)
    assert "expected a node with 64 CPUs and 0 GPUs for a fit" in str(error.value)

"""Fits on a Ray cluster: the bytes of a local run, through the loss of a worker and of the driver."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from committee.errors import UsageError
from committee.executors.in_process import InProcess
from committee.executors.ray import Ray
from committee.store.layout import Store
from committee.training.crossfit.crossfits import crossfit
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


@pytest.mark.parametrize("option", [{"cpus": 0}, {"gpus": -1.0}, {"retries": -1}])
def test_options_out_of_range_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"executor.{next(iter(option))}: expected at least"):
        Ray(**option)


def test_a_fit_that_no_node_has_room_for_is_refused(ray_cluster: str) -> None:
    with pytest.raises(UsageError) as error:
        Ray(address=ray_cluster, cpus=64).division(4, CPU)
    assert "expected a node with 64 CPUs and 0 GPUs for a fit" in str(error.value)

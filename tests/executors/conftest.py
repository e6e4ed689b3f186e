"""Small networks to fit with executors, and what two stores of equal fits have in common."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from committee.executors.in_process import InProcess
from committee.store.layout import Store
from committee.training.crossfit.crossfits import crossfit
from committee.training.plans.base import Plan
from committee.training.plans.single import Single

NETS = Path(__file__).parents[1] / "training" / "nets"
Plans = Callable[..., list[Plan]]
Contents = dict[str, Any]


@pytest.fixture(scope="module")
def making() -> Iterator[ModuleType]:
    """The module that makes data sets and specs, which processes that tests start can import, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(NETS))
        patch.setenv("PYTHONPATH", str(NETS), prepend=os.pathsep)
        import making

        yield making


@pytest.fixture(scope="module")
def plans_of(making: ModuleType) -> Plans:
    """Make plans of two small networks on a data set in a folder."""

    def make(folder: Path, store: Store) -> list[Plan]:
        dataset, device = making.make_dataset(folder), torch.device("cpu")
        return [Single(making.make_spec(net=net), dataset, store, device) for net in ("tiny", "perceptron")]

    return make


def _without_times(path: Path) -> Any:
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


@pytest.fixture(scope="session")
def contents() -> Callable[[Store], Contents]:
    """Return the content of all files of a store, but for the seconds of epochs."""

    def read(store: Store) -> Contents:
        files = (path for path in store.root.rglob("*") if path.is_file() and path.name != ".lock")
        return {path.relative_to(store.root).as_posix(): _without_times(path) for path in files}

    return read


@pytest.fixture(scope="module")
def alone(
    plans_of: Plans, contents: Callable[[Store], Contents], tmp_path_factory: pytest.TempPathFactory
) -> Contents:
    """The store of an undisturbed run in one process."""
    folder = tmp_path_factory.mktemp("alone")
    store = Store(folder / "store")
    with store.hold():
        found = list(crossfit(plans_of(folder / "data", store), store, InProcess()))
    assert [error for _, error in found] == [None, None]
    return contents(store)

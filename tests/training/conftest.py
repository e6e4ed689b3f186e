"""Networks that train in a second, a data set of digits for them, and members trained once per run."""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path
from types import ModuleType

import pytest
import torch

from committee.store.layout import Store
from committee.training.crossfit.crossfit import CrossFit
from committee.training.fit.weight_averager import SoupContext, WeightAverager
from committee.training.plans.single import Single

NETS = Path(__file__).parent / "nets"


@pytest.fixture(autouse=True)
def nets(monkeypatch):
    """Make `python:tiny_nets:...` importable, here and in processes that a test starts."""
    monkeypatch.syspath_prepend(str(NETS))
    monkeypatch.setenv("PYTHONPATH", str(NETS), prepend=os.pathsep)


@pytest.fixture
def making(nets) -> ModuleType:
    import making

    return making


@pytest.fixture
def dataset(making, tmp_path):
    return making.make_dataset(tmp_path / "data")


@pytest.fixture
def cpu() -> torch.device:
    return torch.device("cpu")


def crossfit_all(plan, store):
    """Make all fits of a plan in a store, and its out-of-fold predictions."""
    fits = CrossFit(plan, store)
    with store.hold():
        for each in fits.names:
            fits.make(each)
        fits.finish()
    return fits


@pytest.fixture(name="crossfitted")
def _crossfitted():
    return crossfit_all


@pytest.fixture
def add_single(making, dataset, store, cpu, once):
    """Cross-fit a network under a name, once per run, and put it into the test's store.

    `add_single("a", "seed=1")` returns the plan.
    """

    def add(name, *overrides):
        def plan_in(place):
            plan = Single(making.make_spec(*overrides), dataset, place, cpu)
            plan.name = name
            return plan

        def fill(folder):
            place = Store(folder / "store")
            crossfit_all(plan_in(place), place)

        key = "-".join([name, *(word.replace("/", "_") for word in overrides)])
        shutil.copytree(once(key, fill) / "store", store.root, dirs_exist_ok=True)
        return plan_in(store)

    return add


@pytest.fixture(scope="session")
def _siblings_made():
    return {}


@pytest.fixture
def siblings(making, dataset, store, cpu, _siblings_made):
    """Train networks from one start: `siblings("a", "b")`, each with a seed of its own."""

    def fit(name, seed, start_seed, epochs, changes):
        words = [f"training.epochs={epochs}", f"training.start_seed={start_seed}", f"seed={seed}"]
        plan = Single(making.make_spec(*words, **changes), dataset, store, cpu)
        plan.name = name
        return plan.run(dataset.rows("train"), "refit", fingerprint=name)[name]

    def make(*names, start_seed=5, epochs=3, **changes):
        found = {}
        for number, name in enumerate(names):
            key = (name, number, start_seed, epochs, *changes.items())
            if key not in _siblings_made:
                _siblings_made[key] = fit(name, number + 1, start_seed, epochs, changes)
            found[name] = copy.deepcopy(_siblings_made[key])
        return found

    return make


@pytest.fixture
def context(dataset):
    def make(recompute_bn=True, num_batches=4):
        return SoupContext(
            dataset,
            dataset.rows("train"),
            dataset.rows("val"),
            32,
            torch.device("cpu"),
            recompute_bn,
            num_batches,
            0,
        )

    return make


@pytest.fixture
def averager(siblings, context):
    return WeightAverager(siblings("a", "b", "c"), context(), "soup")

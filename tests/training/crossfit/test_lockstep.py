"""Fits of one architecture that crossfit makes as one: the same store, and what is said about it."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from committee.errors import TrainingError
from committee.store.layout import Store
from committee.store.manifest import read_manifest
from committee.training.crossfit import lockstep
from committee.training.crossfit.bundles import bundles_of
from committee.training.crossfit.crossfit import CrossFit
from committee.training.crossfit.crossfits import crossfit
from committee.training.fit.comparison import Comparison
from committee.training.fit.stacked_step import StackedStep
from committee.training.plans.bagging import Bagging
from committee.training.plans.single import Single


@pytest.fixture
def new_store(tmp_path):
    return lambda name: Store(tmp_path / name)


@pytest.fixture
def plans(making, dataset, cpu):
    """Make plans of two seeds in a store."""

    def make(store, together, *words, kind=Single, seeds=(0, 1), **options):
        spec = making.make_spec(f"training.together={together}", *words, net="perceptron")
        return [
            kind(replace(spec, name=f"net{seed}", seed=seed), dataset, store, cpu, **options)
            for seed in seeds
        ]

    return make


@pytest.fixture
def stacked(monkeypatch):
    """Collect the numbers of networks whose steps are made as one."""
    found, real = set(), StackedStep.__call__

    def call(self, positions):
        found.add(len(positions))
        return real(self, positions)

    monkeypatch.setattr(StackedStep, "__call__", call)
    return found


def contents(root):
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.suffix in (".npy", ".safetensors")
    }


def made(plans, store):
    with store.hold():
        return {plan.name: error for plan, error in crossfit(plans, store, 1)}


def test_folds_and_seeds_as_one_have_the_bytes_of_those_alone(plans, new_store, stacked, caplog):
    caplog.set_level(logging.INFO, "committee")
    alone, joint = new_store("alone"), new_store("joint")
    assert made(plans(alone, "none"), alone) == {"net0": None, "net1": None}
    assert not stacked
    assert made(plans(joint, "stacked"), joint) == {"net0": None, "net1": None}
    assert stacked == {6, 2}, "three folds of two seeds, then two refits"
    assert "6 networks of net0, net1: stacked" in caplog.messages
    assert contents(joint.root) == contents(alone.root)
    assert read_manifest(joint.checkpoint("net1", 0)).facts["stacked"] is True
    assert "stacked" not in read_manifest(alone.checkpoint("net1", 0)).facts
    stacked.clear()
    assert made(plans(joint, "stacked"), joint) == {"net0": None, "net1": None}
    assert not stacked, "the store has all"


def test_the_networks_of_a_bag_are_one_stack(plans, new_store, stacked):
    alone, joint = new_store("alone"), new_store("joint")
    for store, together in ((alone, "none"), (joint, "stacked")):
        assert made(plans(store, together, kind=Bagging, seeds=(0,), networks=4), store) == {"net0": None}
    assert stacked == {4}
    assert contents(joint.root) == contents(alone.root)


def test_a_fit_that_fails_costs_its_own_plan_alone(plans, new_store, monkeypatch):
    store, real = new_store("store"), StackedStep._gradients

    def gradients(self, positions):
        found = real(self, positions)
        bad = (loop.job.name == "net1/fold_1" for loop in self.loops)
        return [result * np.nan if is_bad else result for result, is_bad in zip(found, bad, strict=True)]

    monkeypatch.setattr(StackedStep, "_gradients", gradients)
    monkeypatch.setattr("committee.training.fit.rollback.MOST", 0)
    found = made(plans(store, "stacked"), store)
    assert found["net0"] is None
    assert isinstance(found["net1"], TrainingError) and str(found["net1"]).startswith("net1/fold_1: expected")
    assert store.folds("net0") == ("fold_0", "fold_1", "fold_2", "refit")
    assert store.folds("net1")[:2] == ("fold_0", "fold_2")


@pytest.mark.parametrize(
    ("outcome", "stacks", "said"),
    [
        (Comparison(2.84, same=True), True, "stacked, 2.8 times the steps a second of one after the other"),
        (
            Comparison(0.7, same=True),
            False,
            "not stacked, which has 0.7 times the steps a second of one after",
        ),
        (Comparison(1.5, same=False), False, "not stacked, since that changes the last bits; 1.5 times as"),
        (Comparison(reason="a hook"), False, "not stacked: a hook"),
    ],
    ids=["faster", "slower", "other bytes", "impossible"],
)
def test_auto_stacks_what_is_faster_and_has_the_same_bytes(
    plans, new_store, monkeypatch, outcome, stacks, said
):
    tried = []
    monkeypatch.setattr(lockstep, "compare", lambda jobs: tried.append(len(jobs)) or outcome)
    store = new_store("store")
    long, short = (plans(store, "auto", f"training.epochs={epochs}") for epochs in (500, 3))
    fits = [CrossFit(plan, store) for plan in long]
    texts = lockstep.choose(fits, workers=2)
    assert tried == [3], "folds of two seeds in two parts; a single refit for each is not stacked"
    assert len(texts) == 1 and texts[0].startswith(f"6 networks of net0, net1: {said}")
    assert [plan.stacked for plan in long] == [stacks, stacks]
    assert sorted(map(len, bundles_of(fits, 2))) == ([1, 1, 3, 3] if stacks else [1] * 8)
    assert lockstep.choose([CrossFit(plan, store) for plan in short], workers=2) == [], "not worth a trial"


def test_a_trial_compares_real_steps(plans, new_store, stacked):
    store = new_store("store")
    fits = [CrossFit(plan, store) for plan in plans(store, "auto", "training.epochs=500")]
    [text] = lockstep.choose(fits, workers=1)
    assert "the steps a second" in text and "last bits" not in text
    assert stacked == {5} and not list(store.root.rglob("*.resume"))

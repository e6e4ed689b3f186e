"""Several plans at once: the same bytes, the same failures, and what happens when a process ends."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from committee.errors import CommitteeError
from committee.images.dataset import Dataset
from committee.store.layout import Store
from committee.store.manifest import read_manifest
from committee.training.crossfit import crossfits as module
from committee.training.crossfit.crossfit import CrossFit
from committee.training.crossfit.crossfits import crossfit
from committee.training.plans.base import Plan
from committee.training.plans.single import Single

CPU = torch.device("cpu")


def plans_of(making: ModuleType, dataset: Dataset, store: Store, *nets: str) -> list[Plan]:
    return [Single(making.make_spec(net=net), dataset, store, CPU) for net in nets]


def contents(root: Path) -> dict[str, bytes]:
    """Return all arrays and weights of a store."""
    files = [*root.rglob("*.npy"), *root.rglob("*.safetensors")]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture
def leave_to_others(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], bool]], None]:
    """Have this process make no fit until a condition holds."""
    make = CrossFit.make

    def until(condition: Callable[[], bool]) -> None:
        def wait_and_make(self: CrossFit, name: str) -> None:
            deadline = time.monotonic() + 240
            while not condition() and time.monotonic() < deadline:
                time.sleep(0.05)
            make(self, name)

        monkeypatch.setattr(CrossFit, "make", wait_and_make)

    return until


def test_a_fit_has_the_same_bytes_and_failure_in_another_process(
    making: ModuleType,
    dataset: Dataset,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    leave_to_others: Callable[[Callable[[], bool]], None],
) -> None:
    caplog.set_level(logging.INFO, "committee")
    alone, helped = Store(tmp_path / "alone"), Store(tmp_path / "helped")
    nets, tiny = ("exploding", "tiny"), "tiny_nets_tiny"
    before = [
        (plan.name, str(error)) for plan, error in crossfit(plans_of(making, dataset, alone, *nets), alone, 1)
    ]
    assert before[1] == (tiny, "None") and "expected a finite loss on the first batch" in before[0][1]
    leave_to_others(lambda: helped.folds(tiny) == ("fold_0", "fold_1", "fold_2"))
    after = [
        (plan.name, error) for plan, error in crossfit(plans_of(making, dataset, helped, *nets), helped, 2)
    ]
    assert [(name, str(error)) for name, error in after] == before
    assert "in smoke\n" in after[0][1].__notes__[0]
    assert contents(helped.root) == contents(alone.root)
    facts = read_manifest(helped.checkpoint(tiny, 0)).facts
    assert facts == read_manifest(alone.checkpoint(tiny, 0)).facts and facts["threads"] == 1


def test_a_process_that_dies_twice_in_a_fit_costs_that_fit_alone(
    making: ModuleType,
    dataset: Dataset,
    store: Store,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    leave_to_others: Callable[[Callable[[], bool]], None],
) -> None:
    monkeypatch.setenv("MORTAL_LIVES_IN", str(os.getpid()))
    ended = "tiny_nets_mortal/fold_1: its worker process ended (exit code 7)"
    leave_to_others(lambda: caplog.messages.count(ended) == 2)
    [(_, mortal), (_, tiny)] = crossfit(plans_of(making, dataset, store, "mortal", "tiny"), store, 2)
    assert isinstance(mortal, CommitteeError) and str(mortal) == (
        "tiny_nets_mortal/fold_1: expected a worker process that finishes it, got two that ended (exit code "
        "7). If memory is short, set workers=1 or a smaller batch_size."
    )
    assert tiny is None
    assert store.folds("tiny_nets_mortal") == ("fold_0",)


def test_the_log_has_each_epoch_and_the_time_left(
    making: ModuleType,
    dataset: Dataset,
    store: Store,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, "committee")
    monkeypatch.setattr(module, "LEAST_SECONDS", 0.0)
    plans = plans_of(making, dataset, store, "tiny")
    assert [error for _, error in crossfit(plans, store, 1)] == [None]
    first, *lines = caplog.messages
    assert first == "4 fits of 1 member on cpu, 1 at a time"
    epoch = r"tiny_nets_tiny/%s: epoch %d/3, loss \d\.\d{3}, accuracy [01]\.\d\d, \d+\.\d s"
    expected = list[str]()
    for done, fit in enumerate(("fold_0", "fold_1", "fold_2", "refit"), 1):
        expected += [epoch % (fit, number) for number in (1, 2, 3)]
        expected.append(rf"{done} of 4 fits done, about \d+ seconds? left")
    assert len(lines) == len(expected) - 1, "nothing is left after the last fit"
    for pattern, line in zip(expected[:-1], lines, strict=True):
        assert re.fullmatch(pattern, line)
    caplog.clear()
    assert [error for _, error in crossfit(plans, store, 1)] == [None]
    assert caplog.messages == ["4 fits of 1 member on cpu, 1 at a time"]


RUN = """
import sys, time, torch
torch.set_num_threads(1)
from pathlib import Path
from committee.base.interrupt import handled
from committee.store.layout import Store
from committee.training.crossfit.crossfit import CrossFit
from committee.training.crossfit.crossfits import crossfit
from committee.training.plans.single import Single
from making import make_dataset, make_spec

root, store = Path(sys.argv[1]), Store(sys.argv[2])
spec, make = make_spec(*sys.argv[3:], net="patient"), CrossFit.make
kept = store.resume(spec.name, 1)

def wait_and_make(self, name):
    while not kept.exists():
        time.sleep(0.01)
    print("both", flush=True)
    make(self, name)

CrossFit.make = wait_and_make
with handled(), store.hold():
    plan = Single(spec, make_dataset(root / "data"), store, torch.device("cpu"))
    list(crossfit([plan], store, 2))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_a_stopped_run_of_two_processes_goes_on_to_the_same_bytes(
    making: ModuleType, dataset: Dataset, tmp_path: Path
) -> None:
    words = ("training.epochs=8", "training.ema=0.9")
    spec = making.make_spec(*words, net="patient")
    ended, whole = Store(tmp_path / "ended"), Store(tmp_path / "whole")
    kept = [ended.resume(spec.name, fold) for fold in (0, 1)]
    command = [sys.executable, "-c", RUN, str(tmp_path), str(ended.root), *words]
    # Each process waits in the second of eight epochs, however fast it is, until the signal comes.
    environment = {**os.environ, "HOLD_AT": "10"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None and process.stdout.readline() == b"both\n"
        while not kept[0].exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.terminate()
        assert process.wait(120) != 0
    assert all(folder.exists() for folder in kept) and ended.folds(spec.name) == ()
    for store in (ended, whole):
        with store.hold():
            assert [error for _, error in crossfit([Single(spec, dataset, store, CPU)], store, 1)] == [None]
    assert contents(ended.root) == contents(whole.root)

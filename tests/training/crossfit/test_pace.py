"""Which fits are started before a deadline, by the clock of the test; and fits that a deadline stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType

import numpy as np
import pytest
import torch

from committee.base.deadline import Deadline, in_effect
from committee.errors import UnfinishedError
from committee.images.dataset import Dataset
from committee.store.layout import Store
from committee.training.crossfit import pace as module
from committee.training.crossfit.bundles import Task
from committee.training.crossfit.crossfit import CrossFit
from committee.training.crossfit.crossfits import crossfit
from committee.training.crossfit.pace import Pace, kind, work
from committee.training.plans.single import Single

CPU = torch.device("cpu")
FOLDS = ("fold_0", "fold_1", "fold_2")


@pytest.fixture
def plan(making: ModuleType, dataset: Dataset, store: Store) -> Callable[..., Single]:
    def make(name: str, *overrides: str) -> Single:
        made = Single(making.make_spec(*overrides), dataset, store, CPU)
        made.name = name
        return made

    return make


@pytest.fixture
def pace(plan: Callable[..., Single], store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pace]:
    """Return the pace of two members, of which a fold takes 10 seconds, with some seconds left."""

    def make(left: float, workers: int = 1, words: Sequence[str] = (), known: bool = True) -> Pace:
        fits = [CrossFit(plan("a", *words), store), CrossFit(plan("b", "seed=1", *words), store)]
        seconds = 10 * work(fits[0], "fold_0", predicts=False) / work(fits[0], "fold_0")
        monkeypatch.setattr(module, "epoch_seconds", lambda folder: seconds)
        monkeypatch.setattr(module, "read_manifest", lambda *_, **__: type("M", (), {"facts": {}}))
        found = Pace(fits, workers, Deadline(left, lambda: 0.0))
        found._measure([Task(0, "fold_0")] if known else [])
        return found

    return make


def bundles(member: int, *fits: str) -> list[tuple[Task, ...]]:
    return [(Task(member, fit),) for fit in fits]


def test_a_fit_takes_as_long_as_one_of_the_same_kind_for_its_rows(pace: Callable[..., Pace]) -> None:
    found = pace(left=100)
    assert found.of(Task(1, "fold_1")) == pytest.approx(10, rel=0.05)
    refit, fold = found.of(Task(1, "refit")), found.of(Task(1, "fold_0"))
    assert refit is not None and fold is not None and 1.3 * fold < refit < 1.6 * fold
    assert pace(left=100, known=False).of(Task(1, "fold_1")) is None


def test_networks_are_of_one_kind_if_their_seeds_differ(plan: Callable[..., Single]) -> None:
    assert kind(plan("a")) == kind(plan("b", "seed=1"))
    assert kind(plan("a")) != kind(plan("b", "dataset.batch_size=5"))


@pytest.mark.parametrize(
    ("workers", "stopping", "least"), [(1, "null", 44), (2, "null", 22), (2, "{patience: 2}", 29)]
)
def test_a_member_is_started_only_if_all_of_its_fits_can_end(
    pace: Callable[..., Pace], workers: int, stopping: str, least: float
) -> None:
    waiting, words = bundles(1, *FOLDS, "refit"), [f"training.early_stop={stopping}"]
    assert pace(least + 3, workers, words).refuse(waiting[0], waiting, {}) is None
    refused = pace(least - 3, workers, words).refuse(waiting[0], waiting, {})
    assert isinstance(refused, UnfinishedError)
    assert str(refused).startswith("b: 4 fits not started, since the time limit leaves ")
    assert "Run the same command again, with more time, to continue." in str(refused)
    # Those that are running are not counted.
    assert pace(least - 3, workers, words).refuse(waiting[2], waiting[2:], {}) is None


def test_fits_of_which_nothing_is_known_are_started_until_the_deadline(pace: Callable[..., Pace]) -> None:
    waiting = bundles(1, *FOLDS, "refit")
    assert pace(left=0.01, known=False).refuse(waiting[0], waiting, {}) is None
    refused = pace(left=0, known=False).refuse(waiting[0], waiting, {})
    assert "since the time limit is over." in str(refused)


def test_what_the_store_has_is_never_refused(pace: Callable[..., Pace]) -> None:
    found, waiting = pace(left=-1), bundles(1, *FOLDS, "refit")
    found.stored = {task for bundle in waiting for task in bundle}
    assert found.refuse(waiting[0], waiting, {}) is None
    found.stored = {Task(1, "fold_0")}
    assert found.refuse(waiting[0], waiting, {}) is None
    assert found.refuse(waiting[1], waiting[1:], {}) is not None


def test_fits_of_this_run_are_measured(pace: Callable[..., Pace]) -> None:
    found, waiting = pace(left=12, known=False), bundles(1, "fold_1", "fold_2")
    done = bundles(0, "fold_0")[0]
    assert found.refuse(waiting[0], waiting, {done: UnfinishedError("stopped")}) is None
    assert found.refuse(waiting[0], waiting, {done: {done[0]: True}}) is not None


def ticking(ticks: int) -> Callable[[], float]:
    """Return a clock that reaches 1 when it was asked so many times."""
    times: Iterator[int] = iter(range(ticks))
    return lambda: 0.0 if next(times, None) is not None else 1.0


@pytest.mark.parametrize("together", ["none", "stacked"])
def test_fits_that_the_deadline_stops_are_continued_with_the_same_results(
    plan: Callable[..., Single], store: Store, together: str
) -> None:
    words = ("training.epochs=2", f"training.together={together}", "training.folds=3")
    with store.hold(), in_effect(Deadline(1, ticking(30))):
        [(_, error)] = crossfit([plan("a", *words)], store, 1)
    assert isinstance(error, UnfinishedError) and "Its state is stored" in str(error), error
    assert list(store.root.glob("checkpoints/a/*.resume")) and not store.kfold("a").exists()
    with store.hold():
        assert [error for _, error in crossfit([plan("a", *words)], store, 1)] == [None]
    whole = Store(store.root / "whole")
    other = plan("a", *words)
    other.store = whole
    with whole.hold():
        assert [error for _, error in crossfit([other], whole, 1)] == [None]
    for fit in (*FOLDS, "refit"):
        ours, its = (np.load(place.checkpoint("a", fit) / "test.npy") for place in (store, whole))
        # Steps of several fits as one are those of each alone up to rounding.
        np.testing.assert_allclose(ours, its, atol=0 if together == "none" else 1e-3)


def test_a_fit_that_clearly_cannot_end_is_stopped_after_an_epoch(
    plan: Callable[..., Single], store: Store
) -> None:
    with store.hold(), in_effect(Deadline(1e-6, lambda: 0.0)):
        [(_, error)] = crossfit([plan("a", "training.epochs=50", "training.together=none")], store, 1)
    assert isinstance(error, UnfinishedError) and "/fold_0 was stopped after epoch 1 of 50, since" in str(
        error
    )

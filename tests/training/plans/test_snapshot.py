"""Snapshots: one run, one network a cycle, and their mean."""

import numpy as np
import pytest
import torch

from committee.errors import TrainingError, UsageError
from committee.training.fit.resume import forget
from committee.training.fit.schedule import Schedule
from committee.training.fit.start import head_epochs
from committee.training.fit.weight_trackers import Snapshots
from committee.training.plans.snapshot import Snapshot


@pytest.fixture
def plan(making, dataset, store, cpu):
    spec = making.make_spec("training.early_stop={patience: 1}")
    return Snapshot(spec, dataset, store, cpu, n_snapshots=3, epochs_per_cycle=2)


def test_the_rate_restarts_with_each_cycle(plan):
    training = plan.spec.training.model_copy(update={"warmup_epochs": 0})
    rates = [Schedule(training).rate(epoch) / training.lr for epoch in (0, 1, 1.999, 2, 3, 4)]
    np.testing.assert_allclose(rates, [1, 0.5, 0, 1, 0.5, 1], atol=1e-3)
    warm = plan.spec.training.model_copy(update={"warmup_epochs": 1})
    rate = Schedule(warm).rate
    assert rate(0.1) < 0.3 * warm.lr < 0.9 * warm.lr < rate(2.05)


def test_a_run_yields_the_mean_and_its_parts(plan, dataset):
    assert plan.others == ("tiny_nets_tiny_1", "tiny_nets_tiny_2", "tiny_nets_tiny_3") and plan.epochs == 6
    made = plan.run(dataset.rows("train"), "fold_0", fingerprint="x")
    images = dataset.images(np.arange(6))
    with torch.inference_mode():
        parts = torch.stack([made[name](images).softmax(1) for name in plan.others])
        torch.testing.assert_close(made[plan.name](images).exp(), parts.mean(0))
        assert (parts[0] - parts[2]).abs().max() > 1e-3, "snapshots differ"
    assert [made[name].provenance["epochs"] for name in plan.others] == [2, 4, 6]


def test_the_last_snapshot_is_the_network_at_the_end(plan, dataset, store):
    rows = dataset.rows("train")
    made = plan.run(rows, "fold_0", fingerprint="x")
    forget(store.resume(plan.name, "fold_0"))
    last = plan.fit(rows, "fold_0", "x").member
    images = dataset.images(np.arange(6))
    with torch.inference_mode():
        assert torch.equal(last(images), made[plan.others[2]](images))


def test_a_run_that_was_cut_short_is_named(plan, dataset, monkeypatch):
    monkeypatch.setattr(Snapshots, "collected", lambda self: {"1": self.copies[0]})
    said = "tiny_nets_tiny/fold_0: expected 3 snapshots, got 1: the run was interrupted. Run the command"
    with pytest.raises(TrainingError, match=said):
        plan.run(dataset.rows("train"), "fold_0", fingerprint="x")


def test_one_cycle_is_no_ensemble(making, dataset, store, cpu):
    with pytest.raises(UsageError, match="tiny_nets_tiny: n_snapshots: expected at least 2, got 1"):
        Snapshot(making.make_spec(), dataset, store, cpu, n_snapshots=1)


@pytest.mark.parametrize(("body_lr", "head"), [(1, 2), (0, 0)])
def test_a_frozen_body_has_no_epochs_of_the_head_alone(making, dataset, store, cpu, body_lr, head):
    words = (f"training.body_lr={body_lr}", "training.head_epochs=2", "training.pretrained=true")
    plan = Snapshot(making.make_spec(*words), dataset, store, cpu, n_snapshots=2, epochs_per_cycle=3)
    assert plan.epochs == plan.spec.training.epochs == head + 6
    assert head_epochs(plan.spec) == head

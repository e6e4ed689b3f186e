"""The state of a fit goes through `state_dict` and `load_state_dict` without loss."""

import copy
from functools import partial

import pytest
import torch

from committee.training.fit.engine import make_fabric
from committee.training.fit.job import Extra, Job
from committee.training.fit.start import place_member
from committee.training.fit.state import FitState
from committee.training.fit.weight_trackers import Snapshots, TailAverage


@pytest.fixture
def new_state(making, dataset, cpu, tmp_path):
    def make(*overrides):
        spec = making.make_spec("training.ema=0.9", "training.best_checkpoint=true", *overrides)
        trackers = (partial(TailAverage, start=1), partial(Snapshots, cycle=1))
        rows = dataset.rows("train")
        job = Job(spec, dataset, rows, "fold_0", cpu, tmp_path, "x", None, 32, Extra(trackers=trackers))
        return FitState(job, make_fabric(cpu, "fp32"), place_member(job, cpu)[0])

    return make


def train_a_little(state):
    """Make two steps of an epoch, as `Loop` does, after a completed one."""
    state.begin_epoch("all")
    state.end_epoch({"epoch": 1, "seconds": 0.5})
    state.begin_epoch("all")
    for _ in range(2):
        for parameter in state.network.parameters():
            parameter.grad = torch.randn_like(parameter)
        state.fabric_optimizer.step()
        for tracker in state.trackers:
            tracker.step()
        state.batch += 1
        state.total += torch.tensor([1.5, 0.25])
    for tracker in state.trackers:
        tracker.epoch(1)
    state.best.update(1, {"log_loss": 0.5}, state.weights())
    state.rollbacks, state.micro_batch, state.run_id = 1, 8, "run"


def assert_same(one, other):
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            assert_same(first, second)
    else:
        assert one == other


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_loaded_state_is_the_stored_one(new_state, optimizer):
    first, second = (new_state(f"training.optimizer={optimizer}") for _ in range(2))
    with torch.random.fork_rng():
        train_a_little(first)
        stored = copy.deepcopy(first.state_dict())
        drawn = torch.rand(3)
        second.load_state_dict(stored)
        second.begin_epoch(second.phase)
        assert torch.equal(torch.rand(3), drawn), "the generators continue where they were"
        torch.set_rng_state(stored["generators"]["cpu"])
        loaded = second.state_dict()
    assert loaded.pop("seconds") >= stored.pop("seconds") > 0
    assert_same(loaded, stored)
    assert (second.epoch, second.batch, second.total.tolist()) == (2, 2, [3.0, 0.5])


def test_a_smaller_number_of_images_at_once_is_not_raised_by_the_stored_one(new_state):
    first, second = new_state(), new_state()
    with torch.random.fork_rng():
        train_a_little(first)
    second.micro_batch = 4
    second.load_state_dict(first.state_dict())
    assert second.micro_batch == 4

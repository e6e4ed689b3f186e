"""SWA and EMA of one run."""

import numpy as np
import pytest
import torch

from committee.training.fit.weight_trackers import MovingAverage, TailAverage
from committee.training.plans import averaging
from committee.training.plans.averaging import Averaging


@pytest.fixture
def plan(making, dataset, store, cpu):
    spec = making.make_spec("training.epochs=4", "training.scheduler=constant")
    return Averaging(spec, dataset, store, cpu, start=0.5, decay=0.9, num_batches=4)


def test_one_run_yields_three_members(plan, dataset, monkeypatch):
    ends, real = [], TailAverage.epoch

    def spy(self, epoch):
        ends.append((epoch, {k: v.clone() for k, v in self.network.state_dict().items()}))
        real(self, epoch)

    monkeypatch.setattr(TailAverage, "epoch", spy)
    made = plan.run(dataset.rows("train"), "fold_0", fingerprint="x")
    assert list(made) == [plan.name, plan.swa, plan.ema]
    state = made[plan.swa].network.state_dict()
    weights = [key for key, value in state.items() if value.is_floating_point() and "running" not in key]
    for key in weights:  # the last two of four epochs
        torch.testing.assert_close(state[key], (ends[2][1][key] + ends[3][1][key]) / 2)
    last = made[plan.name].network.state_dict()
    assert all(torch.equal(last[key], ends[3][1][key]) for key in weights)


def test_statistics_belong_to_the_averaged_weights(plan, dataset, monkeypatch):
    monkeypatch.setattr(averaging, "recompute", lambda *args, **kwargs: 0)
    without = plan.run(dataset.rows("train"), "fold_0", fingerprint="x")
    monkeypatch.undo()
    made = plan.run(dataset.rows("train"), "fold_0", fingerprint="x")
    for name in plan.others:
        one, other = (each[name].network.state_dict() for each in (made, without))
        differ = [key for key in one if not torch.equal(one[key], other[key])]
        assert differ and all("running" in key or "num_batches" in key for key in differ)


def test_the_average_of_steps_is_the_textbooks():
    net = torch.nn.Linear(2, 1)
    average, values = MovingAverage(net, 0.5), []
    for step in range(1, 4):
        with torch.no_grad():
            net.weight.fill_(step)
        average.step()
        values.append(average.collected()["ema"]["weight"][0, 0].item())
    assert values[-1] < 3 and np.all(np.diff(values) > 0)


def test_a_frozen_body_averages_the_same_share_of_its_epochs(making, dataset, store, cpu):
    words = ("training.epochs=4", "training.body_lr=0", "training.head_epochs=2", "training.pretrained=true")
    started = []
    for word in words[1], "training.body_lr=1":
        plan = Averaging(making.make_spec(*words, word), dataset, store, cpu, start=0.5)
        [fit] = plan.fits(dataset.rows("train"), "fold_0")
        started.append(fit.extra.trackers[0].keywords["start"])
    assert started == [3, 2]

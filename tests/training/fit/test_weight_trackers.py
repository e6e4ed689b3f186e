import pytest
import torch
from torch import nn

from committee.training.fit.weight_trackers import MovingAverage


def test_the_average_follows_the_textbook():
    net = nn.BatchNorm1d(2)
    average, expected = MovingAverage(net, decay=0.5), net.weight.detach().clone()
    for step in range(1, 6):
        with torch.no_grad():
            net.weight += step
            net.running_mean += step
            net.num_batches_tracked += 1
        average.step()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * net.weight.detach()
    weights = average.weights()
    torch.testing.assert_close(weights["weight"], expected)
    assert weights["running_mean"].max() < net.running_mean.max()
    assert weights["num_batches_tracked"] == 5


def test_it_goes_on_from_a_kept_state():
    def step(net, average):
        with torch.no_grad():
            net.weight += 1
        average.step()

    net = nn.Linear(2, 2)
    average = MovingAverage(net, 0.9)
    step(net, average)
    state = {
        "steps": average.steps,
        "values": {name: value.clone() for name, value in average.values.items()},
    }
    other = nn.Linear(2, 2)
    other.load_state_dict(net.state_dict())
    resumed = MovingAverage(other, 0.9)
    resumed.load_state_dict(state)
    step(net, average)
    step(other, resumed)
    assert torch.equal(average.weights()["weight"], resumed.weights()["weight"])
    assert average.state_dict()["steps"] == 2 == pytest.approx(resumed.steps)

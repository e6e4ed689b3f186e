"""Averages of weights, and the way between networks."""

import copy

import numpy as np
import pytest
import torch

from committee.errors import DataError
from committee.training.fit.weight_averager import WeightAverager, mean_of
from committee.training.soups.base import Choice
from committee.training.soups.greedy import Greedy


def test_weights_are_averaged_in_double_precision():
    one, other = (
        {"w": torch.tensor([1.0, 1e8]), "n": torch.tensor(3)},
        {"w": torch.tensor([2.0, 1.0]), "n": torch.tensor(9)},
    )
    mean = mean_of({"a": one, "b": other}, {"a": 0.25, "b": 0.75})
    assert mean["w"][0] == 1.75 and mean["w"][1] == pytest.approx(25_000_000.75)
    assert mean["n"] == 3


def test_a_network_with_itself_is_itself(averager):
    member = averager.members["a"]
    twin = WeightAverager({"a": member, "b": copy.deepcopy(member)}, averager.context, "soup")
    blended = twin.blend({"a": 0.5, "b": 0.5}, 0).network.state_dict()
    for key, value in member.network.state_dict().items():
        torch.testing.assert_close(blended[key], value)


def test_a_network_has_no_barrier_to_itself(averager):
    member = averager.members["a"]
    twin = WeightAverager({"a": member, "b": copy.deepcopy(member)}, averager.context, "soup")
    assert abs(twin.barrier("a", "b")) < 1e-5


def test_siblings_have_no_barrier_and_strangers_have_one_that_alignment_lowers(averager, siblings, context):
    near = averager.barrier("a", "b")
    strangers = siblings("far", start_seed=77, epochs=12)
    own = siblings("near", epochs=12)
    mixed = WeightAverager(own | strangers, context(), "soup")
    far, loss = mixed.barrier("near", "far"), mixed.loss(mixed.member("far"))
    assert near < 0.1 < 0.3 < far
    mixed.align("far", "near")
    assert mixed.barrier("near", "far") < 0.7 * far
    assert mixed.loss(mixed.member("far")) == pytest.approx(loss, abs=1e-4), "the function is the same"


def test_a_permuted_copy_has_no_barrier_after_alignment(averager):
    member, twin = averager.members["a"], copy.deepcopy(averager.members["a"])
    symmetries, generator = averager._symmetries, np.random.default_rng(0)
    chosen = {group: generator.permutation(size) for group, size in symmetries.sizes.items()}
    twin.network.net.load_state_dict(symmetries.permuted(twin.network.net.state_dict(), chosen))
    both = WeightAverager({"a": member, "b": twin}, averager.context, "soup")
    assert both.barrier("a", "b") > 0.1
    both.align("b", "a")
    assert abs(both.barrier("a", "b")) < 1e-5


def test_statistics_of_the_average_are_better_than_the_average_of_statistics(averager):
    weights = dict.fromkeys("abc", 1 / 3)
    assert averager.loss(averager.blend(weights)) < averager.loss(averager.blend(weights, 0))


def test_numbers_that_are_none_count_as_the_worst(averager):
    broken = copy.deepcopy(averager.members["b"])
    with torch.no_grad():
        broken.network.net[0].weight[0] = torch.nan
    spoilt = WeightAverager(averager.members | {"b": broken}, averager.context, "soup")
    losses = {name: spoilt.loss(member) for name, member in spoilt.members.items()}
    assert losses["b"] == float("inf")
    assert "b" not in Greedy().weights(Choice([lambda: spoilt]), losses)


def test_greedy_leaves_out_what_makes_the_mean_worse(averager):
    stranger = copy.deepcopy(averager.members["c"])
    with torch.no_grad():
        stranger.network.net[9].weight.neg_()
    spoilt = WeightAverager(averager.members | {"c": stranger}, averager.context, "soup")
    losses = {name: spoilt.loss(member) for name, member in spoilt.members.items()}
    assert "c" not in Greedy().weights(Choice([lambda: spoilt]), losses)


def test_other_architectures_are_refused(averager, siblings, context):
    others = siblings("plain", net="patient")
    with torch.no_grad():
        odd = copy.deepcopy(others["plain"])
        odd.network.net[9] = torch.nn.Linear(128, 10, bias=False)
    said = (
        "soup: expected networks with the same architecture, got a and odd, which differ. Choose members of"
    )
    with pytest.raises(DataError, match=said):
        WeightAverager({"a": averager.members["a"], "odd": odd}, context(), "soup")


def test_statistics_that_are_not_estimated_are_warned_of(averager, context, caplog):
    WeightAverager(averager.members, context(recompute_bn=False), "soup")
    assert "soup: batch-norm statistics do not fit averaged weights; set" in caplog.text

import copy

import numpy as np
import pytest
import torch

from committee.errors import UsageError
from committee.recipe.augment import Amounts
from committee.training.fit.batch_norm import has_batch_norm, recompute
from committee.training.fit.start import start_member

PLAIN = "backbones.include=['python:hostile_nets:hungry']"


@pytest.fixture
def member(making, dataset):
    return start_member(making.make_spec(), dataset, "fold_0").eval()


def test_statistics_are_the_mean_over_the_batches(member, dataset, cpu):
    rows = dataset.rows("train")
    images = recompute(member, dataset, rows, batch_size=60, device=cpu, num_batches=3, seed=4)
    order = np.random.default_rng(4).permutation(rows)[:180]
    with torch.no_grad():
        first = [member.network.net[0](member.view(dataset.images(p))) for p in np.array_split(order, 3)]
    means = torch.stack([batch.mean((0, 2, 3)) for batch in first])
    spreads = torch.stack([batch.var((0, 2, 3)) for batch in first])
    norm = member.network.net[1]
    torch.testing.assert_close(norm.running_mean, means.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, spreads.mean(0), rtol=1e-4, atol=1e-5)
    assert images == 180 and not member.training and norm.momentum == 0.1


def test_the_images_are_augmented_as_in_training(member, dataset, cpu):
    twin = copy.deepcopy(member)
    member.provenance["augment"] = {"flip": True, "color_jitter": 0.9, "preset": "mild"}
    recompute(member, dataset, dataset.rows("train"), batch_size=60, device=cpu)
    augmentation = Amounts(flip=True, color_jitter=0.9)
    recompute(twin, dataset, dataset.rows("train"), batch_size=60, device=cpu, augmentation=augmentation)
    means = [each.network.net[1].running_mean.clone() for each in (member, twin)]
    assert torch.equal(*means)
    recompute(twin, dataset, dataset.rows("train"), batch_size=60, device=cpu)
    assert not torch.equal(means[0], twin.network.net[1].running_mean)


def test_weights_stay_and_no_gradient_comes(member, dataset, cpu):
    before = [parameter.detach().clone() for parameter in member.parameters()]
    torch.manual_seed(3)
    state = torch.get_rng_state()
    recompute(member, dataset, dataset.rows("train"), batch_size=32, device=cpu)
    assert torch.equal(torch.get_rng_state(), state)
    for parameter, old in zip(member.parameters(), before, strict=True):
        assert torch.equal(parameter, old) and parameter.grad is None


def test_a_network_without_batch_norm_stays_as_it_is(making, dataset, cpu):
    member = start_member(making.make_spec(PLAIN, net="hungry"), dataset, "fold_0")
    assert not has_batch_norm(member)
    assert recompute(member, dataset, dataset.rows("train"), batch_size=32, device=cpu) == 0


def test_no_batch_at_all(member, dataset, cpu):
    with pytest.raises(UsageError, match="num_batches: expected at least 1, got 0"):
        recompute(member, dataset, dataset.rows("train"), batch_size=32, device=cpu, num_batches=0)

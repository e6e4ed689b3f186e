import pytest
import torch
from torch import nn
from torch.nn import functional

from committee.errors import TrainingError
from committee.training.fit.heads import train_head

INPUTS = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
LABELS = (INPUTS.sum(1) > 0).long()


def train(network, loss=None, **changes):
    options = {"epochs": 10, "lr": 0.01, "seed": 0, "who": "head", "lower": "hidden_dims", **changes}
    plain = lambda logits, rows: functional.cross_entropy(logits, LABELS[rows])  # noqa: E731
    train_head(network, lambda rows: INPUTS[rows], loss or plain, 300, **options)
    return network


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))


def test_it_learns_and_repeats_itself_and_leaves_the_generator_alone():
    torch.manual_seed(9)
    before = torch.get_rng_state()
    one = train(make())
    torch.manual_seed(5)
    other = train(make())
    assert torch.equal(one[0].weight, other[0].weight)
    assert (one(INPUTS).argmax(1) == LABELS).float().mean() > 0.85 and not one.training
    torch.manual_seed(9)
    assert torch.equal(before, torch.get_rng_state())


def test_no_memory_names_the_setting():
    def hungry(logits, rows):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nGPU 0")

    said = (
        "head: expected enough memory for the network and a batch of 256 rows, got CUDA out of memory. Tried "
        "to allocate 2 GiB. Lower hidden_dims."
    )
    with pytest.raises(TrainingError, match=said):
        train(make(), hungry)


def test_a_loss_that_is_no_number():
    with pytest.raises(
        TrainingError, match=r"head: expected a finite loss, got NaN or infinity\. Lower its lr\."
    ):
        train(make(), lambda logits, rows: logits.sum() * torch.nan)

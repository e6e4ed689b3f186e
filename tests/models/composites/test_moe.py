"""Mixtures of experts run the chosen experts only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from committee.images.view import View
from committee.models.composites.moe import Moe, sparse
from committee.tasks import Classification, Regression

PHOTOS = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (40, 1, 20, 20), dtype=np.uint8))


class Counting(nn.Module):
    """An expert that counts its images."""

    class_names = ("a", "b")

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.bias, self.seen = bias, 0

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        mean = images.float().mean((1, 2, 3)) / 255
        return torch.stack([mean + self.bias, -mean], 1)


def make(experts: int = 4, top_k: int = 1) -> Moe:
    torch.manual_seed(0)
    parts = [Counting(float(place)) for place in range(experts)]
    made = Moe(parts, "ab", "moe", View(16, 0.5, 0.1, channels=1), 16, top_k).eval()
    for parameter in made.gate.parameters():
        parameter.data.mul_(4)
    return made


@torch.no_grad()
@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_only_chosen_experts_run(top_k: int) -> None:
    moe = make(top_k=top_k)
    weights = moe.weights(PHOTOS)
    torch.testing.assert_close(weights.sum(1), torch.ones(40))
    assert ((weights > 0).sum(1) == top_k).all()
    output = moe.infer(PHOTOS)
    assert [part.seen for part in moe.parts] == (weights > 0).sum(0).tolist()
    if top_k == 1:
        assert len(set(weights.argmax(1).tolist())) > 1, "a test of one expert alone would show little"
    torch.testing.assert_close(output, moe(PHOTOS))
    expected = sum(weights[:, k, None] * part(PHOTOS).softmax(1) for k, part in enumerate(moe.parts))
    torch.testing.assert_close(output.exp(), expected)


def test_a_mixture_of_numbers_is_their_weighted_mean_whatever_others_say() -> None:
    values = torch.tensor([[[1.0, 10.0], [3.0, 30.0], [torch.nan, torch.inf]]])
    found = Regression().mix(values, torch.tensor([[0.25, 0.75, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[2.5, 25.0]]))


def test_sparse_weights_are_a_softmax_of_the_largest() -> None:
    weights = sparse(torch.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
    torch.testing.assert_close(weights, torch.tensor([[0.0, *torch.tensor([3.0, 2.0]).softmax(0)[:2], 0.0]]))


def test_the_mixture_has_a_gradient_where_an_expert_is_not_asked() -> None:
    logits = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    Classification().mix(logits, torch.tensor([[1.0, 0.0, 0.0]]).expand(5, 3)).sum().backward()
    assert logits.grad is not None and bool(logits.grad.isfinite().all())

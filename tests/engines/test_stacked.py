"""The engine that runs networks of one architecture as one: which it takes, and what it computes once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from committee.engines.stacked import Stacked
from committee.images.view import View
from committee.models.composites.viewed import Viewed
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.stacked import NotStackable, Stack
from committee.models.views.base import SingleView
from committee.models.views.hflip import Hflip

IMAGES = torch.randint(0, 256, (5, 3, 12, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class Branching(nn.Linear):
    """What it computes depends on the values of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > 0 else super().forward(-x)


def members(make, count, size=8, mean=0.5):
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Flatten(), make(3 * size * size, 2)) for _ in range(count)]
    made = [Member.from_module(net, classes=["cat", "dog"], size=size, mean=mean, std=0.25) for net in nets]
    for position, member in enumerate(made):
        member.name = f"{make.__name__}_{size}_{mean}_{position}"
    return made


def hidden(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, outputs))


@pytest.fixture
def sizes(monkeypatch):
    """The number of networks and of images, and whether these are shared, of each forward pass of a stack."""
    seen, forward = [], Stack.forward

    def noted(self, x, *, shared):
        seen.append((len(self.networks), x.shape[-4 if x.ndim > 3 else 0], shared))
        return forward(self, x, shared=shared)

    monkeypatch.setattr(Stack, "forward", noted)
    return seen


@pytest.mark.parametrize("combiner", ["soft_voting", "cascade"])
@torch.no_grad()
def test_a_mixed_ensemble_stacks_what_it_can(combiner, sizes):
    one, other = members(hidden, 3), members(hidden, 2, mean=0.4)
    flipped = Viewed(
        [alone := members(hidden, 1, size=6)[0]], alone.class_names, "flip", SingleView(Hflip(), "hflip")
    )
    parts = [*one, *members(Branching, 2), *members(nn.Linear, 1), *other, alone, flipped]
    ensemble = Ensemble(parts).eval().fit(IMAGES.repeat(8, 1, 1, 1), [0, 1, 1, 0, 0] * 8, method=combiner)
    run = Stacked().prepare(ensemble, IMAGES[:2])
    sizes.clear()
    torch.testing.assert_close(run(IMAGES), ensemble.infer(IMAGES), atol=1e-6, rtol=1e-6)
    assert sizes == [(5, 5, False)]


@torch.inference_mode()
def test_equal_preprocessing_runs_once(sizes, monkeypatch):
    ensemble, calls, normalize = Ensemble(members(hidden, 3)).eval(), [], View.normalize
    run = Stacked().prepare(ensemble, IMAGES)
    sizes.clear()
    monkeypatch.setattr(View, "normalize", lambda self, images: calls.append(1) or normalize(self, images))
    run(IMAGES)
    assert sizes == [(3, 5, True)]
    assert len(calls) == 1


def test_what_cannot_be_stacked_is_named():
    engine, different = Stacked(), Ensemble([*members(hidden, 1), *members(nn.Linear, 1)])
    assert engine.missing(members(hidden, 1)[0], IMAGES) == "the model has one network"
    assert engine.missing(different, IMAGES) == "no two networks have the same architecture"
    with pytest.raises(NotStackable, match="depends on the values of a tensor"):
        engine.prepare(Ensemble(members(Branching, 2)).eval(), IMAGES)

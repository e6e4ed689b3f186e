"""A small network in an ONNX file, exported once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from committee.exporters.base import Card
from committee.exporters.onnx import Onnx
from committee.models.ensemble import Ensemble
from committee.models.member import Member

CLASSES = ("ant", "bee", "cat")


def make_network(seed: int) -> nn.Module:
    """Return a network with a convolution, a batch norm and a linear layer, whose outputs differ."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.Hardswish(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 64),
        nn.GELU(),
        nn.Linear(64, 3),
    )
    with torch.no_grad():
        net[-1].weight.mul_(50)
        net[-1].bias.sub_(net.eval()(torch.randn(64, 3, 24, 24).cumsum(2)).mean(0))
    return net


@pytest.fixture(scope="session")
def pair() -> Ensemble:
    """Two members of different size, and a temperature."""
    members = [
        Member.from_module(make_network(0), classes=CLASSES, size=24, name="first"),
        Member.from_module(make_network(1), classes=CLASSES, size=16, fit="pad", name="second"),
    ]
    return Ensemble(members, {"combiner": "soft_voting"}, name="pair").eval()


@pytest.fixture(scope="session")
def images() -> NDArray[np.uint8]:
    """Smooth random images of different brightness: uint8 `[48, 3, 30, 40]`."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (48, 3, 3, 4))
    return coarse.repeat(10, 2).repeat(10, 3).astype(np.uint8)


@pytest.fixture(scope="session")
def exported(pair: Ensemble, images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the float32 ONNX file."""
    card = Card("pair", CLASSES, {"kind": "ensemble"})
    return Onnx().export(pair, torch.from_numpy(images[:2]), tmp_path_factory.mktemp("float32"), card)

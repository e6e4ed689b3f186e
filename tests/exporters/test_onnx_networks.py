"""Networks of one architecture in an ONNX file: recorded once, each with its own weights and name."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from committee.base.onnx_networks import network_names
from committee.exporters import _onnx_graph, _onnx_networks
from committee.exporters._onnx_networks import Alike
from committee.exporters.base import Card
from committee.exporters.onnx import Onnx
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.predictor import ModulePredictor
from committee.pipeline.shared.parity import check_parity, several_sizes

CLASSES = ("ant", "bee", "cat")


class Biased(nn.Module):
    """A layer whose graph depends on a number that is neither a parameter nor a buffer."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.bias = bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs - self.bias


def member(seed: int, bias: float = 0.0) -> Member:
    torch.manual_seed(seed)
    norm = nn.BatchNorm2d(4)
    for tensor in norm.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    pooled = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]
    net = nn.Sequential(Biased(bias), nn.Conv2d(3, 4, 3, padding=1), norm, *pooled)
    return Member.from_module(
        net, classes=CLASSES, size=8 + seed % 2, fit="squash", name=f"net_{seed}"
    ).eval()


@pytest.fixture
def recordings(monkeypatch) -> list[int]:
    """The side of the images of each network that is recorded apart, however few layers it has."""
    monkeypatch.setattr(_onnx_networks, "LAYERS", 1)
    found: list[int] = []
    exported = _onnx_graph._exported

    def counted(model: nn.Module, images: Sequence[torch.Tensor], *rest: object) -> object:
        if images[0].is_floating_point():
            found.append(images[0].shape[-1])
        return exported(model, images, *rest)

    monkeypatch.setattr(_onnx_graph, "_exported", counted)
    return found


def exported(module: nn.Module, photos, folder: Path) -> Path:
    card = Card("vote", CLASSES)
    file = Onnx().export(module, torch.from_numpy(photos), folder, card)
    reference = ModulePredictor(module, "vote", CLASSES)
    assert check_parity(reference, Onnx().open(file), several_sizes(photos), "onnx")["max_abs_diff"] < 1e-6
    return file


@pytest.mark.slow
def test_alike_networks_are_recorded_once_and_keep_their_weights(tmp_path, photos, recordings) -> None:
    """The three networks of 8 pixels are alike, and two of the three of 9; the last one has another bias."""
    members = [member(seed) for seed in (0, 2, 4, 1, 3)] + [member(5, bias=0.5)]
    file = exported(Ensemble(members).eval(), photos, tmp_path)
    assert recordings == [8, 9]
    assert network_names(file) == [each.name for each in members]
    assert {node.domain for node in onnx.load(file).graph.node} == {""}


def test_a_module_that_cannot_be_copied_is_recorded_as_it_is(photos, recordings) -> None:
    module = Ensemble([member(seed) for seed in (0, 2)]).eval()
    assert Alike(module, [torch.from_numpy(photos)]).model is not module
    module.lock = threading.Lock()
    alike = Alike(module, [torch.from_numpy(photos)])
    assert alike.model is module
    assert alike.operations == {}

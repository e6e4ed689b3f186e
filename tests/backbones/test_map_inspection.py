"""Modules and builders that return maps: which value, of which size, and for images of which sides."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from committee.backbones.base import Backbone, find_head
from committee.backbones.build import build
from committee.backbones.inspection import inspect
from committee.backbones.outputs import Output
from committee.errors import UsageError


class Net(nn.Module):
    """Three maps of images whose sides are multiples of 4, as in a network with skip connections."""

    def __init__(self, how: Callable[[Tensor], Any], stride: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down, self.up = nn.Conv2d(1, 3, stride, stride), nn.ConvTranspose2d(3, 3, stride, stride)
        self.how = how

    def forward(self, images: Tensor) -> Any:
        return self.how(self.up(self.down(images)) + 4 * images)


def half(maps: Tensor) -> Tensor:
    return functional.avg_pool2d(maps, 2)


READ = {
    "a tensor": (lambda z: z, Output(maps=True, stride=4)),
    "logits": (lambda z: {"logits": z, "out": z}, Output(maps=True, stride=4)),
    "out of torchvision": (lambda z: {"out": z, "aux": z}, Output("out", maps=True, stride=4)),
    "the only map": (lambda z: (z.mean((2, 3)), z), Output(1, maps=True, stride=4)),
    "half the size": (half, Output(maps=True, resized=True, stride=4)),
    "softmax": (lambda z: z.softmax(1), Output(None, True, maps=True, stride=4)),
}


@pytest.mark.parametrize("name", READ)
def test_maps_are_read_and_have_the_size_of_the_images(name: str):
    how, expected = READ[name]
    net = Net(how)
    found = inspect(net, 3, (1, 18, 18), f"maps: {name}", maps=True)
    assert found == expected and Output(**found.to_json()) == found
    assert found.to_json()["stride"] == 4 and net.training
    images = torch.randn(2, 1, 12, 20)
    own = Net(lambda z: z)(images)
    if found.resized:
        own = functional.interpolate(half(own), size=(12, 20), mode="bilinear")
    backbone = Backbone(net, find_head(net, 3), output=found)
    assert backbone.heads == ("up",) and backbone.embed(images[..., :10]).shape == (2, 3)
    got = backbone(images)
    torch.testing.assert_close(got.softmax(1), own.softmax(1))


REFUSED = {
    "rows": (lambda z: z.mean((2, 3)), "a tensor [4, 3]"),
    "two": (
        lambda z: [z, z],
        "a list with 2 values that may be logits (0: [4, 3, 16, 16], 1: [4, 3, 16, 16])",
    ),
    "other classes": (
        lambda z: {"mask": z[:, :2]},
        "a dict with no value of this shape (mask: [4, 2, 16, 16])",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_outputs_without_maps_are_refused(name: str):
    how, got = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        inspect(Net(how, 1), 3, (1, 16, 16), "net", maps=True)
    assert str(caught.value) == (
        "net: expected maps [B, C, h, w], alone or as 'logits' or 'out' of a mapping or an object, got "
        f"{got}. Wrap the network in a module whose forward returns the maps alone."
    )


def test_numbers_of_maps_are_in_their_units():
    output = Output(maps=True, shift=[10.0, 0.0], scale=[2.0, 5.0])
    maps = torch.randn(3, 2, 4, 6)
    expected = maps * torch.tensor([2.0, 5.0])[:, None, None] + torch.tensor([10.0, 0.0])[:, None, None]
    torch.testing.assert_close(output.logits(maps, (4, 6)), expected)


@pytest.mark.parametrize("stride", [0, -8, 2**20])
def test_strides_of_files_are_checked(stride: int):
    with pytest.raises(ValueError, match=f"a stride of {stride}"):
        Output(maps=True, stride=stride)


def test_builders_of_maps_are_inspected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = (
        "from torch import nn\n"
        "def small(classes, channels):\n"
        "    return nn.Sequential(nn.Conv2d(channels, 8, 2, 2), nn.ReLU(), nn.Conv2d(8, classes, 1))\n"
    )
    (tmp_path / "builders_of_maps.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    backbone = build("python:builders_of_maps:small", 2, channels=1, img_size=9, maps=True, trusted=True)
    sys.modules.pop("builders_of_maps")
    assert backbone.output == Output(maps=True, resized=True)
    assert backbone(torch.zeros(1, 1, 9, 12)).shape == (1, 2, 9, 12) and backbone.heads == ("2",)
    with pytest.raises(
        UsageError, match="expected no output stride for a network that returns maps as it is"
    ):
        build("python:builders_of_maps:small", 2, maps=True, output_stride=8, trusted=True)

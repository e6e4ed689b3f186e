"""Weights files go in strictly, and nothing is unpickled."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from committee.backbones._base import Architecture, Backbone
from committee.backbones._weights import load_weights, read_weights, strip_prefixes
from committee.errors import DataError


class TinyNet(nn.Module):
    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.head = nn.Linear(4, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(images).mean((2, 3)))


def tiny() -> Backbone:
    return Backbone(TinyNet(), ("head",), Architecture("tiny", "python", "tests:tiny"))


def test_missing_and_unknown_tensors_are_named():
    with pytest.raises(DataError) as caught:
        load_weights(tiny(), {"stem.weight": torch.zeros(4, 3, 1, 1), "neck": torch.zeros(1)}, "w.pth")
    assert str(caught.value) == (
        "w.pth: expected the tensors of tiny, got without 'stem.bias'; besides them 'neck'."
        " Give the weights of this architecture."
    )


def test_shapes_that_differ_are_listed():
    state = {"stem.weight": torch.zeros(8, 3, 1, 1), "stem.bias": torch.zeros(8)}
    with pytest.raises(DataError) as caught:
        load_weights(tiny(), state, "w.pth")
    assert str(caught.value) == (
        "w.pth: expected the shapes of tiny, got 'stem.weight [8, 3, 1, 1] instead of [4, 3, 1, 1]',"
        " 'stem.bias [8] instead of [4]'. Give the weights of this architecture."
    )


def test_head_of_other_classes_stays_as_it_was():
    backbone, donor = tiny(), TinyNet(classes=9)
    before = backbone.net.head.weight.clone()
    load_weights(backbone, donor.state_dict(), "w.pth")
    assert torch.equal(backbone.net.head.weight, before)
    assert torch.equal(backbone.net.stem.weight, donor.stem.weight)


def test_weights_without_a_head_will_do():
    backbone, donor = tiny(), TinyNet()
    load_weights(backbone, {k: v for k, v in donor.state_dict().items() if "head" not in k}, "w.pth")
    assert torch.equal(backbone.net.stem.weight, donor.stem.weight)


def test_prefix_comes_off_unless_the_network_has_it():
    assert set(strip_prefixes({"module.net.a": torch.zeros(1)}, ["a"])) == {"a"}
    assert set(strip_prefixes({"net.a": torch.zeros(1)}, ["net.a"])) == {"net.a"}


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.unlink, ("never",))


def test_pickled_object_is_refused(tmp_path: Path):
    path = tmp_path / "trap.pth"
    path.write_bytes(pickle.dumps(Trap(), protocol=2))
    with pytest.raises(DataError) as caught:
        read_weights(path)
    assert str(caught.value).startswith(
        f"{path}: expected a state dict of tensors (.safetensors, .pt or .pth), got "
    )


@pytest.mark.parametrize("content", [b"", b"\x00\x01 no weights"])
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_damaged_file_is_named(content: bytes, suffix: str, tmp_path: Path):
    path = tmp_path / f"w.{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"expected a state dict of tensors"):
        read_weights(path)


def test_file_of_something_else_is_named(tmp_path: Path):
    torch.save([1, 2], tmp_path / "w.pt")
    with pytest.raises(DataError) as caught:
        read_weights(tmp_path / "w.pt")
    assert str(caught.value) == (
        f"{tmp_path / 'w.pt'}: expected a state dict of tensors (.safetensors, .pt or .pth), got list."
    )

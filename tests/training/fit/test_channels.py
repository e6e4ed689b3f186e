"""Removal of channels: the rest computes what it did, is stored, and is chosen by the weights."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from committee.backbones.base import Backbone
from committee.errors import StoreError, TrainingError
from committee.models.member import Member
from committee.training.fit.channels import remove_channels


def test_channels_with_the_smallest_weights_are_removed_and_the_others_compute_the_same() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 16, 3),
        nn.Flatten(),
        nn.Linear(16 * 16, 3),
    )
    small = torch.randperm(32)[:16]
    with torch.no_grad():
        net[0].weight[small] *= 1e-3
        net[3].weight[:, small] = 0  # their batch norms make constants of them, which nothing reads
    images = torch.randn(4, 3, 8, 8)
    before = net.eval()(images)
    network = Backbone(net, ["5"])
    remove_channels(network, images, 0.5, "net")
    assert (net[0].out_channels, net[1].num_features, net[3].in_channels) == (16, 16, 16)
    assert net[3].out_channels == 8 and net[5].in_features == 8 * 16
    assert network.shapes["0.weight"] == [16, 3, 3, 3]
    assert float(net[0].weight.detach().flatten(1).norm(dim=1).min()) > 0.1
    assert before.shape == net(images).shape


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("backbone", ["timm:test_resnet", "timm:test_efficientnet"])
def test_pruned_member_is_smaller_and_loads_again(backbone: str, streams: bool, tmp_path) -> None:
    member = Member.build(backbone, classes=["a", "b", "c"], size=32, seed=0).eval()
    before = sum(each.numel() for each in member.parameters())
    remove_channels(member.network, torch.randn(2, 3, 32, 32), 0.5, "slim", streams)
    assert sum(each.numel() for each in member.parameters()) < (0.35 if streams else 0.75) * before
    member.save(tmp_path)
    images = torch.randint(0, 256, (2, 3, 40, 50), dtype=torch.uint8)
    assert torch.equal(Member.load(tmp_path)(images), member(images))
    description = json.loads((tmp_path / "member.json").read_text("utf-8"))
    name = next(iter(description["shapes"]))
    for wrong in ({name: [10**6]}, {"nothing.weight": [1]}, {name: "x"}):
        (tmp_path / "member.json").write_text(json.dumps({**description, "shapes": wrong}), "utf-8")
        with pytest.raises(StoreError):
            Member.load(tmp_path)


def test_transformer_is_refused_by_its_name() -> None:
    member = Member.build("timm:test_vit", classes=["a", "b"], size=32, seed=0).eval()
    with pytest.raises(TrainingError) as caught:
        remove_channels(member.network, torch.randn(2, 3, 32, 32), 0.5, "slim_vit")
    assert str(caught.value) == (
        "slim_vit (VisionTransformer): expected a convolutional network with groups of more than 8 channels "
        "that can be removed, got a network that cannot be traced (TraceError). "
        "Quantize it instead: committee compress"
    )

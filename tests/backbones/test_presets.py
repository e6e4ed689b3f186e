"""Every preset has the expected size, and can be trained, embedded, saved and loaded at 224 pixels."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from committee.backbones.build import build, pretrained_default, resolve
from committee.backbones.presets import PRESETS
from committee.models.member import Member

pytestmark = pytest.mark.slow

# Millions of parameters with 1000 classes, from the papers and the published ImageNet weights.
PUBLISHED = {
    "CustomConvNeXt": 28.6,
    "CustomEfficientNetV4": 7.1,
    "CustomGhostNetV2": 6.2,
    "CustomResNetMish": 11.7,
    "CustomCSPDarkNet": 27.6,
    "CustomInceptionV4": 42.7,
    "CustomViTHybrid": 6.3,
    "CustomSwinTransformer": 28.3,
    "CustomCoAtNet": 27.4,
    "CustomRegNet": 2.7,
    "CustomDenseNetHybrid": 8.0,
    "CustomDeiTStyle": 5.7,
    "CustomMaxViT": 30.9,
    "CustomMobileOne": 5.3,
    "CustomDynamicConvNet": 13.3,
}


def test_there_are_fifteen_presets():
    assert set(PRESETS) == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_preset_has_its_published_size(name: str):
    with torch.device("meta"):
        backbone = build(name, 1000)
    millions = sum(parameter.numel() for parameter in backbone.parameters()) / 1e6
    assert millions == pytest.approx(PUBLISHED[name], abs=0.06)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_trains_embeds_saves_and_loads_at_224(name: str, tmp_path: Path):
    member = Member.build(name, classes=["a", "b", "c"], size=224, seed=1)
    images = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    logits = member(images)
    logits.square().sum().backward()
    assert logits.shape == (2, 3)
    assert all(parameter.grad is not None for parameter in member.network.head_parameters())
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in member.parameters())
    member.save(tmp_path / "member")
    loaded = Member.load(tmp_path / "member")
    shutil.rmtree(tmp_path / "member")
    with torch.inference_mode():
        embedding = member.eval().embed(images[:1])
        assert torch.equal(embedding, loaded.embed(images[:1]))
    assert embedding.shape == (1, member.network.embedding_size)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_starts_from_random_weights(name: str):
    assert not pretrained_default(name)
    assert resolve(name).name == name


def test_mish_replaces_every_activation():
    kinds = {type(layer).__name__ for layer in build("CustomResNetMish", 3).modules()}
    assert "Mish" in kinds
    assert "ReLU" not in kinds

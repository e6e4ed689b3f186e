"""Building of backbones by name: lookup, weights and errors."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import pytest
import safetensors.torch
import timm
import torch
from torchvision.models import _api

from committee.backbones.base import SOURCES
from committee.backbones.build import build, pretrained_default, resolve
from committee.errors import TrainingError, UnknownNameError, UsageError

PREFIXES = ", ".join(f"{name}:" for name in SOURCES.names())


@pytest.mark.parametrize(
    ("name", "full", "source", "key"),
    [
        ("CustomCoAtNet", "CustomCoAtNet", "timm", "coatnet_0_rw_224"),
        ("resnet18", "torchvision:resnet18", "torchvision", "resnet18"),
        ("test_vit", "timm:test_vit", "timm", "test_vit"),
        ("timm:resnet18", "timm:resnet18", "timm", "resnet18"),
        ("timm:resnet18.a1_in1k", "timm:resnet18.a1_in1k", "timm", "resnet18.a1_in1k"),
        ("torchvision:vgg11", "torchvision:vgg11", "torchvision", "vgg11"),
        ("hf-hub:owner/name", "hf-hub:owner/name", "timm", "hf-hub:owner/name"),
        ("python:package.nets:tiny", "python:package.nets:tiny", "python", "package.nets:tiny"),
    ],
)
def test_name_is_found_where_the_rule_says(name: str, full: str, source: str, key: str):
    found = resolve(name)
    assert (found.name, found.source, found.key) == (full, source, key)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "CustomConvNext",
            "backbone: expected a preset or a name of torchvision or timm, got 'CustomConvNext'."
            " Did you mean 'CustomConvNeXt'?",
        ),
        (
            "tim:resnet18",
            f"backbone tim:resnet18: expected one of {PREFIXES}, hf-hub: or a name without source, got "
            "'tim:'. Did you mean 'timm:'?",
        ),
        (
            "timm:resnt18",
            "backbone timm:resnt18: expected a name of timm, got 'resnt18'. Did you mean 'resnet18'?",
        ),
        (
            "timm:resnet18.nobody",
            "backbone timm:resnet18.nobody: expected a name of timm, got 'resnet18.nobody'."
            " Did you mean 'resnet18'?",
        ),
        (
            "torchvision:fcn_resnet5",
            "backbone torchvision:fcn_resnet5: expected a name of torchvision, got 'fcn_resnet5'."
            " Did you mean 'fcn_resnet50'?",
        ),
        ("python:nets", "backbone python:nets: expected package.module:builder, got 'nets'."),
    ],
)
def test_unknown_name_has_the_nearest(name: str, sentence: str):
    with pytest.raises(UnknownNameError) as caught:
        resolve(name)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("resnet18", True),
        ("timm:test_vit", True),
        ("hf-hub:owner/name", True),
        ("CustomViTHybrid", False),
        ("python:package.nets:tiny", False),
    ],
)
def test_published_weights_are_the_default_of_what_has_them(name: str, published: bool):
    assert pretrained_default(name) is published


@pytest.mark.parametrize("name", ["timm:test_resnet", "timm:test_vit", "torchvision:mobilenet_v2"])
def test_one_channel_and_three(name: str):
    for channels in (1, 3):
        backbone = build(name, 4, channels=channels, img_size=64, seed=0).eval()
        assert backbone(torch.zeros(2, channels, 64, 64)).shape == (2, 4)


def test_seed_decides_the_weights_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    first, same, other = (build("timm:test_resnet", 3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first.net.fc.weight, same.net.fc.weight)
    assert not torch.equal(first.net.fc.weight, other.net.fc.weight)


def test_torchvision_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(_api, "load_state_dict_from_url", fail)
    with pytest.raises(TrainingError) as caught:
        build("torchvision:squeezenet1_1", 5, pretrained=True)
    assert str(caught.value) == (
        "torchvision:squeezenet1_1: expected the published weights, got no response from download.pytorch.org"
        " (URLError). Start from random weights with --set training.pretrained=false, or from a file with"
        " --set training.pretrained=PATH."
    )


def test_timm_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr("committee.backbones.hub.responds", lambda _: False)
    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(TrainingError) as caught:
        build("timm:test_resnet", 5, pretrained=True)
    assert str(caught.value) == (
        "timm:test_resnet: expected the published weights, got no response from huggingface.co"
        " (ConnectionError). Start from random weights with --set training.pretrained=false, or from a file"
        " with --set training.pretrained=PATH."
    )


def test_architecture_without_published_weights():
    with pytest.raises(UsageError) as caught:
        build("timm:coatnet_0_224", 5, pretrained=True)
    assert str(caught.value) == (
        "timm:coatnet_0_224: expected published weights, got none."
        " Start from random weights with --set training.pretrained=false."
    )


def test_size_that_an_architecture_does_not_take():
    with pytest.raises(UsageError) as caught:
        build("torchvision:vit_b_16", 5, img_size=100)
    assert str(caught.value) == (
        "torchvision:vit_b_16: expected an architecture that supports images of 100 pixels,"
        " got Input shape indivisible by patch size. Give another dataset.img_size."
    )


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("name", ["timm:test_resnet", "timm:test_vit", "torchvision:squeezenet1_1"])
def test_weights_of_a_file_with_another_head(name: str, suffix: str, tmp_path: Path):
    donor = build(name, 7, img_size=64, seed=1)
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save({"state_dict": {f"module.{k}": v for k, v in donor.net.state_dict().items()}}, path)
    else:
        safetensors.torch.save_file(donor.net.state_dict(), path)
    same = build(name, 7, img_size=64, pretrained=path, seed=2)
    other = build(name, 3, img_size=64, pretrained=str(path), seed=2)
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(same.eval()(images), donor.eval()(images))
        assert torch.equal(other.eval().embed(images), donor.embed(images))
        assert other(images).shape == (2, 3)


def test_gray_network_answers_as_the_color_network_it_came_from(tmp_path: Path):
    for name in ("timm:test_convnext", "torchvision:squeezenet1_1"):
        color = build(name, 3, img_size=64, seed=1).eval()
        safetensors.torch.save_file(color.net.state_dict(), tmp_path / "w.safetensors")
        gray = build(name, 3, channels=1, img_size=64, pretrained=tmp_path / "w.safetensors").eval()
        images = torch.rand(2, 1, 64, 64)
        with torch.inference_mode():
            torch.testing.assert_close(gray(images), color(images.expand(-1, 3, -1, -1)))


def test_position_embedding_follows_the_size(tmp_path: Path):
    for name in ("timm:test_vit", "torchvision:vit_b_32"):
        donor = build(name, 3, img_size=64, seed=1)
        safetensors.torch.save_file(donor.net.state_dict(), tmp_path / "w.safetensors")
        larger = build(name, 3, img_size=96, pretrained=tmp_path / "w.safetensors").eval()
        assert larger(torch.zeros(1, 3, 96, 96)).shape == (1, 3)


def test_missing_weights_file():
    with pytest.raises(UsageError) as caught:
        build("timm:test_resnet", 3, pretrained="nowhere.pth")
    assert str(caught.value) == (
        "nowhere.pth: the file does not exist."
        " Set training.pretrained to true, false or the path of a weights file."
    )

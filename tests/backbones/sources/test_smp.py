"""Networks of segmentation-models-pytorch by the names of their decoder and encoder."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from committee.backbones.base import SOURCES, Architecture
from committee.backbones.build import build, build_architecture
from committee.errors import DependencyError, UnknownNameError, UsageError

pytestmark = pytest.mark.slow

smp = pytest.importorskip("segmentation_models_pytorch")


def test_all_pairs_of_decoders_and_encoders_are_names():
    names = SOURCES.make("smp").names()
    assert {"unet/resnet18", "segformer/mit_b0", "deeplabv3plus/mobilenet_v2"} < set(names)
    assert {name.partition("/")[0] for name in names} == set(smp.MODEL_ARCHITECTURES_MAPPING)
    with pytest.raises(UnknownNameError) as caught:
        build("smp:unet/resnet81", 2, maps=True)
    assert str(caught.value) == (
        "backbone smp:unet/resnet81: expected a name of smp, got 'unet/resnet81'. "
        "Did you mean 'unet/resnet18'?"
    )


@pytest.mark.parametrize("decoder", smp.MODEL_ARCHITECTURES_MAPPING)
def test_every_decoder_answers_embeds_and_is_rebuilt(decoder: str):
    name = f"smp:{decoder}/tu-test_vit" if decoder == "dpt" else f"smp:{decoder}/tu-test_resnet"
    backbone = build(name, 3, channels=1, img_size=128, maps=True, seed=0).eval()
    side = 32 // backbone.stride * backbone.stride
    images = torch.randn(1, 1, 96 + backbone.stride, 96 + side)
    if decoder != "pan":  # It pools features several times: 96 pixels are too few.
        assert backbone(images).shape == (1, 3, *images.shape[2:])
        assert backbone.embed(images).shape == (1, backbone.embedding_size)
    if decoder not in ("unet", "dpt"):
        return
    with torch.device("meta"):
        again = build_architecture(Architecture.from_json(backbone.architecture.to_json()), 3, channels=1)
    assert again.output == backbone.output
    assert {key: each.shape for key, each in again.net.state_dict().items()} == {
        key: each.shape for key, each in backbone.net.state_dict().items()
    }


@pytest.mark.parametrize(
    ("name", "size", "sentence"),
    [
        (
            "smp:unetplusplus/mit_b0",
            64,
            "smp:unetplusplus/mit_b0: expected an encoder that this decoder works with, got UnetPlusPlus is "
            "not support encoder_name=mit_b0. Use another encoder, such as resnet18, or "
            "tu-vit_tiny_patch16_224 with dpt.",
        ),
        (
            "smp:pan/tu-test_resnet",
            64,
            "smp:pan/tu-test_resnet: expected an architecture that supports images of 64 pixels, got Given "
            "input size: (1x1x1). Calculated output size: (1x0x0). Output size is too small. Give another "
            "dataset.img_size.",
        ),
    ],
)
def test_pairs_and_sizes_that_do_not_work_are_refused(name: str, size: int, sentence: str):
    with pytest.raises(UsageError) as caught:
        build(name, 2, img_size=size, maps=True)
    assert str(caught.value) == sentence


def test_published_weights_are_those_of_the_encoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = smp.create_model("unet", "mobilenet_v2", None)
    save_file(whole.encoder.state_dict(), tmp_path / "model.safetensors")
    settings = '{"mean": [127.5, 0, 255], "std": [51, 51, 51], "input_range": [0, 255]}'
    (tmp_path / "config.json").write_text(settings)
    monkeypatch.setattr("committee.backbones.hub.responds", lambda _: True)
    fetched = lambda repository, filename, revision=None: str(tmp_path / filename)  # noqa: E731
    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", fetched)
    backbone = build("smp:fpn/mobilenet_v2", 2, img_size=64, maps=True, pretrained=True)
    assert (backbone.mean, backbone.std) == ((0.5, 0.0, 1.0), (0.2, 0.2, 0.2))
    found = backbone.net.encoder.state_dict()
    assert all(torch.equal(found[key], each) for key, each in whole.encoder.state_dict().items())


def test_without_the_package_the_install_command_is_given(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(DependencyError) as caught:
        build("smp:unet/resnet18", 2, maps=True)
    assert str(caught.value) == (
        "networks named smp:DECODER/ENCODER: expected the package 'segmentation-models-pytorch', got none "
        "installed. Install it with: pip install 'committee[smp]'"
    )

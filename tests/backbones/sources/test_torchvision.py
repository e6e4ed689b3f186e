"""One network of every classification family of torchvision: logits, embedding, grayscale images."""

from __future__ import annotations

import pytest
import torch
from torchvision import models
from torchvision.models import _api

from committee.backbones.build import build

FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "swin_t",
    "swin_v2_t",
    "vgg11_bn",
    "vit_b_32",
    "wide_resnet50_2",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_family_takes_gray_images_and_embeds(name: str):
    backbone = build(f"torchvision:{name}", 5, channels=1, img_size=96, seed=0)
    assert backbone.head_parameters()
    with torch.inference_mode():
        images = torch.rand(1, 1, 96, 96)
        assert backbone.eval()(images).shape == (1, 5)
        assert backbone.embed(images).shape == (1, backbone.embedding_size)


def test_maxvit_is_built_for_its_size():
    assert build("torchvision:maxvit_t", 5, img_size=224).heads == ("classifier.5",)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_published_inception_weights_go_in_without_auxiliary_heads(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    whole = models.get_model(name, aux_logits=True, init_weights=False).state_dict()
    monkeypatch.setattr(_api, "load_state_dict_from_url", lambda *_, **__: whole)
    backbone = build(f"torchvision:{name}", 5, pretrained=True)
    assert torch.equal(backbone.net.state_dict()[stem_of(name)], whole[stem_of(name)])
    assert backbone.mean == backbone.std == (0.5, 0.5, 0.5)


def stem_of(name: str) -> str:
    return "conv1.conv.weight" if name == "googlenet" else "Conv2d_1a_3x3.conv.weight"


def test_published_weights_for_gray_images_are_summed(monkeypatch: pytest.MonkeyPatch):
    whole = models.squeezenet1_1().state_dict()
    monkeypatch.setattr(_api, "load_state_dict_from_url", lambda *_, **__: whole)
    backbone = build("torchvision:squeezenet1_1", 5, channels=1, pretrained=True)
    torch.testing.assert_close(
        backbone.net.features[0].weight, whole["features.0.weight"].sum(1, keepdim=True)
    )

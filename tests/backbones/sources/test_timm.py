"""Networks of timm, and of the Hugging Face hub through timm."""

from __future__ import annotations

import pytest
import timm
import torch
from huggingface_hub import constants

from committee.backbones.build import build, build_architecture
from committee.backbones.sources import timm as source
from committee.errors import TrainingError, UsageError

TINY = [name for name in timm.list_models("test_*") if not name.startswith("test_naflexvit")]


@pytest.mark.parametrize("name", TINY)
def test_tiny_networks_answer_and_embed(name: str):
    backbone = build(f"timm:{name}", 5, channels=1, img_size=64, seed=0).eval()
    with torch.inference_mode():
        images = torch.rand(2, 1, 64, 64)
        assert backbone(images).shape == (2, 5)
        assert backbone.embed(images).shape == (2, backbone.embedding_size)


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("deit_tiny_distilled_patch16_224", ("head", "head_dist")),
        ("crossvit_tiny_240", ("head.0", "head.1")),
        ("levit_128s", ("head.linear", "head_dist.linear")),
        ("caformer_s18", ("head.fc.fc2",)),
    ],
)
def test_heads_of_several_layers(name: str, heads: tuple[str, ...]):
    size = 240 if name.endswith("240") else 224
    backbone = build(f"timm:{name}", 5, img_size=size, seed=0).eval()
    assert backbone.heads == heads
    with torch.inference_mode():
        assert backbone.embed(torch.rand(1, 3, size, size)).shape == (1, backbone.embedding_size)


def test_encoder_without_a_head_is_refused():
    with pytest.raises(UsageError) as caught, torch.device("meta"):
        build("timm:qwen3_vit_88m_enc", 5)
    assert str(caught.value) == (
        "timm:qwen3_vit_88m_enc: expected an image classifier, got an encoder without a head."
    )


def test_view_of_the_network_comes_with_it():
    assert build("timm:tf_efficientnet_lite0", 5).mean == (0.5, 0.5, 0.5)


def test_hub_name_is_followed_to_its_architecture(monkeypatch: pytest.MonkeyPatch):
    described = (timm.get_pretrained_cfg("test_resnet").to_dict(), "test_resnet", {"act_layer": "mish"})
    monkeypatch.setattr("committee.backbones.hub.responds", lambda _: True)
    monkeypatch.setattr(source, "load_model_config_from_hf", lambda _: described)
    monkeypatch.setattr("timm.models._factory.load_model_config_from_hf", lambda *_, **__: described)
    backbone = build("hf-hub:owner/name", 5, img_size=64, seed=0)
    assert backbone.architecture.to_json() == {
        "name": "hf-hub:owner/name",
        "source": "timm",
        "key": "test_resnet",
        "options": {"act_layer": "mish"},
    }
    monkeypatch.setattr(source, "load_model_config_from_hf", None)
    again = build_architecture(backbone.architecture, 5, img_size=64, seed=0)
    assert torch.equal(again.net.fc.weight, backbone.net.fc.weight)


def test_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("committee.backbones.hub.responds", lambda _: False)
    with pytest.raises(TrainingError) as caught:
        build("hf-hub:nobody/committee-test-nothing", 5)
    assert str(caught.value) == (
        "hf-hub:nobody/committee-test-nothing: expected the configuration and weights of the model, got no "
        "response from huggingface.co (LocalEntryNotFoundError). Use its architecture as timm:NAME, with "
        "random weights: --set training.pretrained=false."
    )
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("name", ["hf-hub:timm/test_resnet.r160_in1k", "hf-hub:nobody/test_resnet.pets"])
def test_random_weights_of_an_architecture_that_timm_knows_need_no_hub(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
):
    monkeypatch.setattr("committee.backbones.hub.responds", lambda _: False)
    backbone = build(name, 5, img_size=64, seed=0)
    assert backbone.architecture.name == name and backbone.architecture.key.startswith("test_resnet")
    expected = build("timm:test_resnet", 5, img_size=64, seed=0)
    assert torch.equal(backbone.net.fc.weight, expected.net.fc.weight)
    guessed = f"{name}: its configuration is not available; the architecture test_resnet of timm is used."
    assert (guessed in caplog.text) == ("nobody" in name)

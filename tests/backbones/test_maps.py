"""Networks of maps: classification networks that are cut at an output stride, and upsample their features."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from committee.backbones.base import Architecture, Backbone
from committee.backbones.build import build, build_architecture, pretrained_default, resolve
from committee.backbones.outputs import Output
from committee.backbones.residual_deconv import CustomResidualDeconv
from committee.backbones.stored_weights import build_for, fill
from committee.base.tracing import tracing
from committee.errors import UsageError
from committee.untrusted.safetensors_header import read_header

pytestmark = pytest.mark.slow

CUT = [
    ("torchvision:alexnet", 8, 24),
    ("torchvision:squeezenet1_1", 16, 16),
    ("torchvision:googlenet", 8, 32),
    ("torchvision:shufflenet_v2_x0_5", 4, 16),
    ("timm:test_resnet", 8, 16),
    ("timm:test_convnext", 16, 16),
    ("timm:test_efficientnet", 8, 16),
    ("timm:test_vit", None, 16),
]


def stored(backbone: Backbone, path: Path, outputs: int) -> Backbone:
    """Save a network for gray images, and load it as stored members are."""
    safetensors.torch.save_model(backbone.net, str(path))
    architecture = Architecture.from_json(backbone.architecture.to_json())

    def state_of(network: Backbone) -> dict[str, torch.Tensor]:
        return network.net.state_dict(keep_vars=True)

    def again() -> Backbone:
        return build_architecture(architecture, outputs, channels=1, img_size=64, seed=0)

    network = build_for(path, read_header(path), again, state_of)
    assert all(parameter.is_meta for parameter in network.net.parameters())
    fill(network.net, path, read_header(path), nn.Module.state_dict)
    assert network.output == backbone.output
    return network.eval()


@pytest.mark.parametrize(("name", "stride", "width"), CUT)
def test_classifiers_become_networks_of_maps_and_are_stored(
    name: str, stride: int | None, width: int, tmp_path: Path
):
    backbone = build(name, 5, channels=1, img_size=64, maps=True, output_stride=stride, seed=0)
    stride = stride or 16
    images = torch.randn(2, 1, 3 * max(stride, 16), 5 * max(stride, 16))
    backbone(images).sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())
    backbone.eval()
    assert backbone(images).shape == (2, 5, *images.shape[2:]) and backbone.stride == stride
    assert backbone.embed(images).shape == (2, backbone.embedding_size) == (2, width)
    assert [tensor.numel() for tensor in backbone.head_parameters()] == [5 * width, 5]
    assert backbone.architecture.to_json()["output_stride"] == stride
    again = stored(backbone, tmp_path / "weights.safetensors", 5)
    assert torch.equal(again(images), backbone(images))


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        (
            "timm:test_resnet",
            {"output_stride": 7},
            "timm:test_resnet: expected an output stride of 2, 4, 8, 16 or 32, got 7. "
            "Set output_stride to one of these, or leave it out.",
        ),
        (
            "timm:test_vit",
            {"output_stride": 8},
            "timm:test_vit: expected an output stride of 16, got 8. "
            "Set output_stride to one of these, or leave it out.",
        ),
        (
            "timm:test_vit",
            {"output_stride": 0},
            "timm:test_vit: expected an output stride of at least 1, got 0.",
        ),
        (
            "torchvision:squeezenet1_1",
            {"output_stride": 32},
            "torchvision:squeezenet1_1: expected an output stride of 2, 4, 8 or 16, got 32. "
            "Set output_stride to one of these, or leave it out.",
        ),
        (
            "torchvision:vit_b_16",
            {},
            "torchvision:vit_b_16: expected a network with feature maps of images of any size, got one "
            "without. Use a convolutional network of timm or torchvision, or a transformer of timm for "
            "images of any size: vit_*, deit_*, eva02_*, swin_*, pvt_v2_* or xcit_*.",
        ),
        (
            "timm:test_resnet",
            {"img_size": 6},
            "timm:test_resnet: expected sides of at least 8 pixels, the stride of the network, got 6 x 6. "
            "Use larger images, or a network with a smaller output stride.",
        ),
        (
            "timm:test_resnet",
            {"maps": False, "output_stride": 8},
            "timm:test_resnet: expected no output stride for a network without maps, got 8. "
            "Leave output_stride out for this network.",
        ),
    ],
)
def test_networks_that_cannot_be_cut_there_are_refused(name: str, options: dict[str, int], sentence: str):
    with pytest.raises(UsageError) as caught:
        build(name, 2, **{"img_size": 32, "maps": True, **options})
    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", ["torchvision:squeezenet1_1", "timm:test_resnet"])
def test_published_weights_fill_the_layers_that_are_kept(name: str, tmp_path: Path):
    whole = build(name, 1000, img_size=64, seed=1)
    published, stored = tmp_path / "published.pth", tmp_path / "stored.safetensors"
    torch.save(whole.net.state_dict(), published)
    backbone = build(name, 3, img_size=64, maps=True, pretrained=published, seed=0)
    known, kept = whole.net.state_dict(), backbone.net.body.state_dict()
    assert len(kept) > 10
    for key, value in kept.items():
        torch.testing.assert_close(value, known[key.removeprefix("net.")])
    safetensors.torch.save_file(backbone.net.state_dict(), stored)
    again = build(name, 3, img_size=64, maps=True, pretrained=stored, seed=5)
    assert all(map(torch.equal, again.net.state_dict().values(), backbone.net.state_dict().values()))


WHOLE = ["CustomResidualDeconv", "torchvision:lraspp_mobilenet_v3_large"]


@pytest.mark.parametrize("name", WHOLE)
def test_networks_of_maps_are_refused_for_classes_and_have_no_output_stride(name: str, tmp_path: Path):
    with pytest.raises(UsageError) as caught:
        build(name, 2, img_size=32)
    assert str(caught.value) == (
        f"{name}: expected a network with one output for each image, got one with an output for each pixel. "
        "Use it for images with masks (dataset.task: segmentation or dense_regression)."
    )
    with pytest.raises(UsageError) as caught:
        build(name, 2, img_size=32, maps=True, output_stride=8)
    assert str(caught.value) == (
        f"{name}: expected no output stride for a network that returns maps as it is, got 8. "
        "Leave output_stride out for this network."
    )
    backbone = build(name, 2, channels=1, img_size=64, maps=True, seed=0).eval()
    assert resolve(name) == backbone.architecture
    sides = (3 * backbone.stride, 5 * backbone.stride) if backbone.stride > 1 else (43, 65)
    images = torch.randn(1, 1, *sides)
    maps = backbone(images)
    assert maps.shape == (1, 2, *sides)
    assert backbone.embed(images).shape == (1, backbone.embedding_size)
    assert torch.equal(stored(backbone, tmp_path / "weights.safetensors", 2)(images), maps)


def test_our_network_has_no_published_weights_and_a_few_million_parameters():
    assert not pretrained_default("CustomResidualDeconv")
    with pytest.raises(UsageError, match=r"^CustomResidualDeconv: expected published weights, got none\. "):
        build("CustomResidualDeconv", 2, maps=True, pretrained=True)
    with torch.device("meta"):
        net = CustomResidualDeconv(2)
    assert sum(parameter.numel() for parameter in net.parameters()) == pytest.approx(6.4e6, abs=5e4)


def test_weights_of_torchvisions_networks_of_segmentation_are_those_without_the_auxiliary_head(
    tmp_path: Path,
):
    name = "lraspp_mobilenet_v3_large"
    whole = build(name, 21, img_size=32, maps=True, seed=1).net.state_dict()
    torch.save({**whole, "aux_classifier.0.weight": torch.zeros(8)}, tmp_path / "coco.pth")
    own = build(name, 3, img_size=32, maps=True, pretrained=tmp_path / "coco.pth").net.state_dict()
    assert own["classifier.low_classifier.weight"].shape[0] == 3
    assert own["classifier.high_classifier.weight"].shape[0] == 3
    assert all(torch.equal(own[key], each) for key, each in whole.items() if "_classifier" not in key)


class Several(nn.Module):
    """The maps of several networks in one graph."""

    def __init__(self, backbones: list[Backbone]) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(backbones)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack([backbone(images) for backbone in self.backbones])


@pytest.mark.slow
def test_exported_graphs_take_images_of_any_size(tmp_path: Path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("segmentation_models_pytorch")
    linknet = Architecture("linknet", "smp", "linknet/tu-test_resnet", {"encoder_depth": 3})
    backbones = [
        build("squeezenet1_1", 2, channels=1, img_size=64, maps=True, output_stride=4, seed=0),
        build_architecture(linknet, 2, channels=1, seed=0),
    ]
    tiny = CustomResidualDeconv(2, 1, widths=(4, 6))
    backbones.append(Backbone(tiny, ("head",), output=Output(maps=True, stride=tiny.stride)))
    smaller = nn.Conv2d(1, 2, 4, stride=4)
    backbones.append(Backbone(smaller, (), output=Output(maps=True, resized=True)))
    module, file = Several(backbones).eval(), tmp_path / "maps.onnx"
    free = {"images": dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)}
    with tracing(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            module, (torch.randn(2, 1, 64, 96),), dynamic_shapes=free, verbose=False, optimize=False
        )
    program.save(file)
    session = onnxruntime.InferenceSession(file)
    for shape in [(2, 1, 64, 96), (1, 1, 128, 64), (3, 1, 96, 96)]:
        images = torch.randn(shape)
        (found,) = session.run(None, {"images": images.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), module(images), atol=1e-4, rtol=1e-4)

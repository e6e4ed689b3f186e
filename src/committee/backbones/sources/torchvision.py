"""Backbones of torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from committee.backbones.base import (
    AS_IS,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Architecture,
    Backbone,
    Source,
    find_head,
)
from committee.backbones.cutting import cut, cuts, traced
from committee.backbones.outputs import Output
from committee.backbones.upsample import Features, choose_stride, no_features
from committee.backbones.weights import load_weights
from committee.base.compiler import deferred_compiler

with deferred_compiler():
    from torchvision import models
    from torchvision.models.vision_transformer import interpolate_embeddings

# The published weights of these expect pixels in -1..1; torchvision's networks rescale their inputs.
INCEPTIONS = ("googlenet", "inception_v3")
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.", "aux_classifier.")


class TorchvisionSource(Source):
    """Source of backbones named `torchvision:NAME`.

    See Also
    --------
    committee.backbones.build.build : Build a backbone by name.

    Examples
    --------
    >>> from committee.backbones.sources.torchvision import TorchvisionSource
    >>> TorchvisionSource().has("resnet50")
    True
    """

    search_order = 1

    def names(self) -> Sequence[str]:
        """Return the names of all architectures of classifiers and of networks of maps."""
        return [*models.list_models(module=models), *models.list_models(module=models.segmentation)]

    def returns_maps(self, key: str) -> bool | None:
        """Return whether it is one of torchvision's networks of segmentation."""
        return key in models.list_models(module=models.segmentation)

    def make(
        self, architecture: Architecture, classes: int, channels: int, img_size: int, pretrained: bool
    ) -> Backbone:
        """Build a network without auxiliary heads; `img_size` is passed to architectures that need it."""
        key = architecture.key
        net = models.get_model(key, num_classes=classes, **_arguments(key, img_size), **architecture.options)
        if channels != 3:
            _set_channels(net, channels)
        output = Output("out", maps=True) if self.returns_maps(key) else AS_IS
        backbone = Backbone(net, _heads(net, classes), architecture, *_statistics(key), output)
        if pretrained:
            weights = models.get_model_weights(key).DEFAULT
            state = weights.get_state_dict(progress=False, check_hash=True)
            load_weights(backbone, self.convert(net, dict(state)), architecture.name)
        return backbone

    def cut(self, backbone: Backbone, channels: int, stride: int) -> Features:
        """Cut the traced graph; names of tensors do not change."""
        try:
            graph = traced(backbone.net)
            places = cuts(graph, channels, backbone.heads)
        except Exception as error:  # A transformer for images of one size, in one of many ways
            raise no_features(backbone.title) from error
        stride = choose_stride(backbone.title, places, stride)
        return Features(cut(graph, places[stride]), places[stride].width, stride)

    def convert(self, net: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Remove auxiliary heads, and resize the position embedding of a transformer."""
        state = {name: tensor for name, tensor in state.items() if not name.startswith(AUXILIARY)}
        if isinstance(net, models.VisionTransformer):
            return dict(interpolate_embeddings(net.image_size, net.patch_size, state))
        return state


def _heads(net: nn.Module, classes: int) -> tuple[str, ...]:
    """Return the names of the last layers; those of LR-ASPP are added."""
    if isinstance(net, models.segmentation.LRASPP):
        return "classifier.low_classifier", "classifier.high_classifier"
    return find_head(net, classes)


def _statistics(key: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return ((0.5,) * 3, (0.5,) * 3) if key in INCEPTIONS else (IMAGENET_MEAN, IMAGENET_STD)


def _arguments(key: str, img_size: int) -> dict[str, Any]:
    if key in INCEPTIONS:
        return {"aux_logits": False, "init_weights": True}
    if key.startswith("vit_"):
        return {"image_size": img_size}
    if key in models.list_models(module=models.segmentation):
        return {"weights_backbone": None} | ({} if key.startswith("lraspp") else {"aux_loss": False})
    return {"input_size": (img_size, img_size)} if key.startswith("maxvit") else {}


def _set_channels(net: nn.Module, channels: int) -> None:
    name, stem = next((n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d))
    other = nn.Conv2d(
        channels,
        stem.out_channels,
        stem.kernel_size,  # type: ignore[arg-type]
        stem.stride,  # type: ignore[arg-type]
        stem.padding,  # type: ignore[arg-type]
        stem.dilation,  # type: ignore[arg-type]
        bias=stem.bias is not None,
    )
    parent, _, child = name.rpartition(".")
    setattr(net.get_submodule(parent), child, other)

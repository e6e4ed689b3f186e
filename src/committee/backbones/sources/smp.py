"""Networks of maps of segmentation-models-pytorch: a decoder on an encoder."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from committee.backbones.base import IMAGENET_MEAN, IMAGENET_STD, Architecture, Backbone, Source, find_head
from committee.backbones.cutting import multiple_of
from committee.backbones.hub import hub
from committee.backbones.outputs import Output
from committee.base.compiler import deferred_compiler
from committee.errors import UsageError, require

with deferred_compiler():
    import timm

ANY_SIZE: dict[str, dict[str, Any]] = {"dpt": {"dynamic_img_size": True}}
"""Options of decoders with which images may have any size."""
UNIVERSAL = "tu-"
"""Prefix of encoders that are networks of timm."""


class SmpSource(Source):
    """Source of backbones named `smp:DECODER/ENCODER`, such as `smp:unet/resnet18`.

    Decoders and encoders are those of segmentation-models-pytorch (Iakubovskii 2019); `tu-NAME` is the
    network NAME of timm as an encoder.

    See Also
    --------
    committee.backbones.build.build : Build a backbone by name.

    Examples
    --------
    >>> from committee.backbones.sources.smp import SmpSource
    >>> SmpSource().has("unetplusplus/resnet18"), SmpSource().has("unet/tu-convnext_tiny")
    (True, True)
    """

    def names(self) -> Sequence[str]:
        """Return the names of all pairs of decoders and encoders, without networks of timm."""
        smp = _package()
        decoders, encoders = smp.MODEL_ARCHITECTURES_MAPPING, smp.encoders.get_encoder_names()
        return [f"{decoder}/{encoder}" for decoder in decoders for encoder in encoders]

    def has(self, key: str) -> bool:
        """Return whether there are this decoder and this encoder."""
        smp = _package()
        decoder, _, encoder = key.partition("/")
        known = encoder in smp.encoders.encoders or timm.is_model(_universal(encoder))
        return decoder in smp.MODEL_ARCHITECTURES_MAPPING and known

    def returns_maps(self, key: str) -> bool | None:
        """Return True."""
        return True

    def make(
        self, architecture: Architecture, classes: int, channels: int, img_size: int, pretrained: bool
    ) -> Backbone:
        """Build a network; published weights are those of the encoder."""
        smp = _package()
        decoder, _, encoder = architecture.key.partition("/")
        options = {**ANY_SIZE.get(decoder, {}), **architecture.options}
        weights = _weights(smp, encoder) if pretrained else None
        with hub(pretrained), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the names of some encoders
            mean, std = _statistics(smp, encoder, weights) if pretrained else (IMAGENET_MEAN, IMAGENET_STD)
            try:
                net = smp.create_model(decoder, encoder, weights, channels, classes, **options)
            except (ValueError, KeyError, NotImplementedError) as error:
                raise _pair(architecture.name, str(error)) from error
        multiple = multiple_of(net, channels)
        if multiple is None:
            raise _pair(architecture.name, "layers for images of one size")
        output = Output(maps=True, stride=multiple)
        return Backbone(net, find_head(net, classes), architecture, mean, std, output)


def _package() -> ModuleType:
    try:
        import segmentation_models_pytorch as smp  # type: ignore[import-untyped]
    except ImportError:
        raise require("segmentation-models-pytorch", "smp", "networks named smp:DECODER/ENCODER") from None
    found: ModuleType = smp
    return found


def _pair(name: str, reason: str) -> UsageError:
    return UsageError(
        name,
        expected="an encoder that this decoder works with",
        got=(reason.strip("'\"").splitlines() or [""])[0].rstrip("."),
        todo="Use another encoder, such as resnet18, or tu-vit_tiny_patch16_224 with dpt.",
    )


def _universal(encoder: str) -> str:
    return encoder.removeprefix(UNIVERSAL) if encoder.startswith(UNIVERSAL) else ""


def _weights(smp: Any, encoder: str) -> str | bool:
    """Return the name of the published weights of an encoder: those of ImageNet, or its only others."""
    if _universal(encoder):
        return True
    known = list(smp.encoders.encoders[encoder]["pretrained_settings"])
    return "imagenet" if "imagenet" in known else str(known[0])


def _statistics(smp: Any, encoder: str, weights: str | bool | None) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of the pixels, in 0..1, that the published weights expect."""
    found = smp.encoders.get_preprocessing_params(encoder, weights)
    largest = found["input_range"][1]
    return [each / largest for each in found["mean"]], [each / largest for each in found["std"]]

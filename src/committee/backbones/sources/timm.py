"""Backbones of timm, and of the Hugging Face hub through timm."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from committee.backbones.base import Architecture, Backbone, Source, find_head
from committee.backbones.condconv import make_exportable
from committee.backbones.hub import hub
from committee.backbones.upsample import Features, choose_stride, no_features
from committee.base.compiler import deferred_compiler
from committee.errors import UsageError

with deferred_compiler():
    import timm
    from timm.models import load_model_config_from_hf

HUB = "hf-hub:"
ANY_SIZE: dict[str, Any] = {"dynamic_img_size": True, "strict_img_size": False}
"""Arguments of transformers with which images may have any size."""

log = logging.getLogger(__name__)


class TimmSource(Source):
    """Source of backbones named `timm:NAME` and `hf-hub:OWNER/NAME`.

    See Also
    --------
    committee.backbones.build.build : Build a backbone by name.

    Examples
    --------
    >>> from committee.backbones.sources.timm import TimmSource
    >>> TimmSource().has("resnet18.a1_in1k")
    True
    """

    search_order = 2

    def names(self) -> Sequence[str]:
        """Return the names of all architectures, without tags of weights."""
        return timm.list_models()

    def has(self, key: str) -> bool:
        """Return whether timm has the architecture `key`, and its weights if it contains a tag."""
        if key.startswith(HUB):
            return True
        return timm.is_model(key) and ("." not in key or key in timm.list_pretrained(key))

    def make(
        self, architecture: Architecture, classes: int, channels: int, img_size: int, pretrained: bool
    ) -> Backbone:
        """Build a network; `img_size` is passed to architectures that depend on it."""
        if not pretrained or _of_timm(architecture.key):
            architecture = _without_hub(architecture)
        arguments: dict[str, Any] = {"num_classes": classes, "in_chans": channels, "pretrained": pretrained}
        arguments |= architecture.options
        if architecture.output_stride is not None:
            arguments = ANY_SIZE | arguments
        with hub(pretrained or architecture.key.startswith(HUB)):
            net = _create(architecture.key, {"img_size": img_size, **arguments})
            architecture = _resolved(architecture)
        if not hasattr(net, "get_classifier"):
            raise UsageError(
                architecture.name, expected="an image classifier", got="an encoder without a head"
            )
        make_exportable(net)
        settings = net.pretrained_cfg
        return Backbone(net, _heads(net, classes), architecture, settings["mean"], settings["std"])

    def cut(self, backbone: Backbone, channels: int, stride: int) -> Features:
        """Cut with timm's functions for features, after the last layer of this stride."""
        net: Any = backbone.net
        who = backbone.title
        if not hasattr(net, "forward_intermediates"):
            raise no_features(who)
        places = {each["reduction"]: (place, each["num_chs"]) for place, each in enumerate(net.feature_info)}
        stride = choose_stride(who, places, stride)
        place, width = places[stride]
        net.prune_intermediate_layers([place], prune_norm=True, prune_head=True)
        return Features(_UpTo(net, place), width, stride)

    def convert(self, net: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename tensors and resize position embeddings with timm's own function for the architecture."""
        family = sys.modules[type(net).__module__]
        convert = getattr(family, "checkpoint_filter_fn", None)
        return convert(state, net) if convert else state


class _UpTo(nn.Module):
    """The features of a network of timm after one of its stages, `[B, width, H / stride, W / stride]`."""

    def __init__(self, net: Any, place: int) -> None:
        super().__init__()
        self.net = net
        self.place = place

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of normalized images `[B, c, H, W]`."""
        found: list[Tensor] = self.net.forward_intermediates(
            images, indices=[self.place], intermediates_only=True
        )
        return found[0]


def _of_timm(key: str) -> str | None:
    """Return the name in timm of a model that timm itself published on the hub, or None."""
    name = key.removeprefix(f"{HUB}timm/")
    return name if name != key and timm.is_model(name) else None


def _without_hub(architecture: Architecture) -> Architecture:
    """Replace a name of the hub by timm's name, if timm published it, or if the hub cannot be asked."""
    key = architecture.key
    name = _of_timm(key)
    if name is None and key.startswith(HUB):
        guess = key.rpartition("/")[2].partition(".")[0]
        if timm.is_model(guess) and not _is_available(key):
            text = "%s: its configuration is not available; the architecture %s of timm is used."
            log.warning(text, architecture.name, guess)
            name = guess
    return architecture if name is None else replace(architecture, key=name)


def _is_available(key: str) -> bool:
    """Return whether the configuration of a model of the hub can be read, from there or from the cache."""
    try:
        with hub(True):
            load_model_config_from_hf(key.removeprefix(HUB))
    except OSError:
        return False
    return True


def _create(key: str, arguments: dict[str, Any]) -> Any:
    """Create a network without those arguments about the size of images that it does not have."""
    try:
        return timm.create_model(key, **arguments)
    except TypeError as error:
        unknown = next((name for name in (*ANY_SIZE, "img_size") if f"'{name}'" in str(error)), None)
        if unknown not in arguments:
            raise
        return _create(key, {name: value for name, value in arguments.items() if name != unknown})


def _heads(net: Any, classes: int) -> tuple[str, ...]:
    found = net.get_classifier()
    tops = [
        part
        for module in (found if isinstance(found, tuple | list) else [found])
        for part in _several(module)
    ]
    names = {module: name for name, module in net.named_modules()}
    # A classifier may have several layers, such as a norm and a linear layer; the last computes the logits.
    return tuple(".".join((names[top], *filter(None, find_head(top, classes)))) for top in tops)


def _several(module: nn.Module) -> Sequence[nn.Module]:
    return list(module) if isinstance(module, nn.ModuleList) else [module]


def _resolved(architecture: Architecture) -> Architecture:
    # A name of the hub is replaced by its architecture, so that a saved member does not need the hub.
    if not architecture.key.startswith(HUB):
        return architecture
    _, key, options = load_model_config_from_hf(architecture.key.removeprefix(HUB))
    return replace(architecture, key=key, options=options or {})

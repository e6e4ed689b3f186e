"""What every backbone gives: logits, the embedding that its head reads, and the head itself."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from committee.base.registry import Family
from committee.errors import UsageError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FETCHING = {
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "checkpoint_path",
    "cache_dir",
    "weights",
    "weights_backbone",
}
"""Options of timm and torchvision that read files or addresses."""


@dataclass(frozen=True)
class Architecture:
    """A network without weights: all that is needed to build it again.

    Parameters
    ----------
    name : str
        As people write it: `timm:resnet18`, `torchvision:resnet50`, `CustomConvNeXt`.
    source : str
        Which source builds it: `timm`, `torchvision`, `python`.
    key : str
        Its name there.
    options : mapping
        Further arguments of the source's builder; plain JSON values.
    """

    name: str
    source: str
    key: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `Architecture(**values)` is the way back."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Architecture:
        """Take what a saved file says; it may describe a network, not name files, addresses or other weights.

        Raises
        ------
        UsageError
            It names something to fetch, to read or to pass to a builder of the user's own.
        """
        made = cls(**values)
        options = set(made.options)
        odd = sorted(options if made.source == "python" else options & FETCHING)
        if odd or (made.source != "python" and ":" in made.key):
            raise UsageError(
                str(made.name),
                expected="an architecture alone",
                got=f"'{odd[0] if odd else made.key}'",
                todo="It was not saved by committee: do not use it.",
            )
        return made


class Backbone(nn.Module):
    """A network from normalized images to logits, whose embedding is what enters its head.

    Parameters
    ----------
    net : nn.Module
        float `[B, c, size, size]` -> logits `[B, classes]`, or an object with `logits`.
    heads : sequence of str
        Names in `net` of the layers that make the logits: one, or two in a distilled transformer, whose
        embeddings are put side by side.
    architecture : Architecture, optional
        How to build it again; None for a module made elsewhere.
    mean, std : sequence of float
        Of the channels in 0..1 that the network expects.
    """

    def __init__(
        self,
        net: nn.Module,
        heads: Sequence[str],
        architecture: Architecture | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.net = net
        self.heads = tuple(heads)
        self.architecture = architecture
        self.mean, self.std = tuple(mean), tuple(std)

    def forward(self, images: Tensor) -> Tensor:
        """Turn normalized images `[B, c, size, size]` into logits `[B, classes]`."""
        output = self.net(images)
        return getattr(output, "logits", output)

    def embed(self, images: Tensor) -> Tensor:
        """Return what enters the head: `[B, embedding_size]`; maps are averaged over height and width."""
        caller, seen = threading.get_ident(), []

        def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if threading.get_ident() == caller:
                seen.append(inputs[0])

        handles = [layer.register_forward_pre_hook(keep) for layer in self._head_layers()]
        try:
            self.net(images)
        finally:
            for handle in handles:
                handle.remove()
        return torch.cat([_pooled(features) for features in seen], dim=1)

    @property
    def embedding_size(self) -> int:
        """Width of the embedding."""
        return sum(_width(layer) for layer in self._head_layers())

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of the head: those trained first when the rest is pretrained."""
        for name in self.heads:
            yield from self.net.get_submodule(name).parameters()

    def _head_layers(self) -> list[nn.Module]:
        if not self.heads:
            raise UsageError(
                "embed",
                expected="a network that ends in a linear or convolutional layer",
                got=type(self.net).__name__,
                todo="Give the network such a head, with one output a class.",
            )
        return [self.net.get_submodule(name) for name in self.heads]


def find_head(net: nn.Module, classes: int) -> tuple[str, ...]:
    """Return the name of the last linear or convolutional layer with `classes` outputs: one, or none."""
    found = [name for name, layer in net.named_modules() if _outputs(layer) == classes]
    return tuple(found[-1:])


def _outputs(layer: nn.Module) -> int | None:
    if isinstance(layer, nn.Linear):
        return layer.out_features
    return layer.out_channels if isinstance(layer, nn.Conv2d) else None


def _width(layer: nn.Module) -> int:
    return layer.in_channels if isinstance(layer, nn.Conv2d) else cast("nn.Linear", layer).in_features


def _pooled(features: Tensor) -> Tensor:
    return features.flatten(2).mean(2) if features.ndim > 2 else features


class Source(ABC):
    """A place that architectures come from."""

    pretrained_default: ClassVar[bool] = True

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Return the keys of all architectures that it knows."""

    @abstractmethod
    def make(
        self, architecture: Architecture, classes: int, channels: int, img_size: int, pretrained: bool
    ) -> Backbone:
        """Build a network; with `pretrained`, from the weights that its authors publish."""

    def convert(self, net: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Bring a weights file of this source into the form of `net`."""
        return state

    def knows(self, key: str) -> bool:
        """Return whether there is an architecture of this name."""
        return key in self.names()


SOURCES: Family[Source] = Family("committee.backbones.sources", "source of backbones")

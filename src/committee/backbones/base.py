"""Base classes of backbones and of their sources."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from committee.backbones.outputs import Output
from committee.backbones.upsample import Features, no_features
from committee.base.registry import Family
from committee.base.tracing import operation
from committee.errors import UsageError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
AS_IS = Output()
FETCHING = {
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "checkpoint_path",
    "cache_dir",
    "weights",
    "weights_backbone",
    "encoder_weights",
}
"""Options of timm, torchvision and smp that read files or fetch addresses."""


LARGEST_OPTION = 2**16
"""Largest number in the options of a stored architecture: of layers, channels or pixels."""


def _numbers(value: object) -> Iterator[float]:
    """Yield all numbers in mappings and lists."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, int | float):
        yield value


@dataclass(frozen=True)
class Architecture:
    """A network architecture without weights, sufficient to build the network again.

    Parameters
    ----------
    name : str
        Name in recipes: `timm:resnet18`, `torchvision:resnet50`, `CustomConvNeXt`.
    source : str
        Source that builds it: `timm`, `torchvision` or `python`.
    key : str
        Name in the source.
    options : mapping
        Further arguments of the source's builder, as JSON values.
    output_stride : int, optional
        Where the network is cut, if it is one of maps: side of an image divided by that of its features. The
        rest is a head of upsampling (`committee.backbones.upsample`).

    See Also
    --------
    committee.backbones.build.resolve : Look up an architecture by name.

    Examples
    --------
    >>> from committee.backbones.build import resolve
    >>> resolve("CustomResNetMish").to_json()
    {'name': 'CustomResNetMish', 'source': 'timm', 'key': 'resnet18', 'options': {'act_layer': 'mish'}}
    """

    name: str
    source: str
    key: str
    options: Mapping[str, Any] = field(default_factory=dict)
    output_stride: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values from which `Architecture(**values)` restores it."""
        values = asdict(self)
        if self.output_stride is None:
            del values["output_stride"]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Architecture:
        """Return the architecture described in a saved file.

        Raises
        ------
        UsageError
            The file is not trustworthy: it names files, addresses or weights, arguments of a `python:`
            builder, or a number of layers or channels that no network has.
        """
        made = cls(**values)
        options = set(made.options)
        odd = sorted(options if made.source == "python" else options & FETCHING)
        if odd or (made.source != "python" and ":" in made.key):
            raise UsageError(
                str(made.name),
                expected="an architecture without weights, files or addresses",
                got=f"'{odd[0] if odd else made.key}'",
                todo="The file was not saved by committee: do not use it.",
            )
        large = next((number for number in _numbers(made.options) if abs(number) > LARGEST_OPTION), None)
        if large is not None:
            raise UsageError(
                str(made.name), expected=f"options of at most {LARGEST_OPTION}", got=f"{large:g}"
            )
        return made


class Backbone(nn.Module):
    """A network from normalized images to logits, with access to its embedding and its head.

    The embedding is the input of the head. A network of maps returns logits of each pixel,
    `[B, classes, H, W]`, of images `[B, c, H, W]` whose height and width are multiples of `stride`.

    Parameters
    ----------
    net : nn.Module
        Maps float `[B, c, size, size]` to logits `[B, classes]`, or to what `output` reads.
    heads : sequence of str
        Names in `net` of the layers that compute the logits: one, or two in a distilled transformer, whose
        embeddings are concatenated.
    architecture : Architecture, optional
        The architecture of `net`, or None if it was built elsewhere.
    mean, std : sequence of float
        Mean and standard deviation of the channels, for pixels in 0..1.
    output : Output, optional
        How what `net` returns becomes logits.

    Attributes
    ----------
    stride : int
        Height and width of images are multiples of it, if this is a network of maps.
    shapes : dict of str to list of int
        Tensors of `net` that have fewer channels than in the architecture; see `backbones.narrow`.

    See Also
    --------
    committee.backbones.build.build : Build a backbone by name.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from committee.backbones.base import Backbone
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> backbone = Backbone(net, heads=["3"])
    >>> images = torch.zeros(5, 3, 4, 4)
    >>> backbone(images).shape, backbone.embed(images).shape, backbone.embedding_size
    (torch.Size([5, 2]), torch.Size([5, 8]), 8)
    """

    def __init__(
        self,
        net: nn.Module,
        heads: Sequence[str],
        architecture: Architecture | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        output: Output = AS_IS,
    ) -> None:
        super().__init__()
        self.net, self.output = net, output
        self.heads = tuple(heads)
        self.architecture = architecture
        self.mean, self.std = tuple(mean), tuple(std)
        self.shapes: dict[str, list[int]] = {}

    @operation
    def forward(self, images: Tensor) -> Tensor:
        """Turn normalized images `[B, c, size, size]` into logits `[B, classes]`, or `[B, classes, H, W]`."""
        return self.output.logits(self.net(images), images.shape[-2:])

    def embed(self, images: Tensor) -> Tensor:
        """Return the inputs of the head `[B, embedding_size]`, after average pooling of feature maps."""
        caller, seen = threading.get_ident(), []

        def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if threading.get_ident() == caller:
                seen.append(inputs[0])

        handles = [layer.register_forward_pre_hook(keep) for layer in self._head_layers()]
        try:
            self.net(self.padded(images))
        finally:
            for handle in handles:
                handle.remove()
        return torch.cat([_pooled(features) for features in seen], dim=1)

    def padded(self, images: Tensor) -> Tensor:
        """Repeat the right and lower borders of images up to the next multiples of `stride`.

        The new sides are computed as products, which a recorded graph can halve for images of any size.
        """
        (height, width), stride = images.shape[-2:], self.stride
        below, right = ((side + stride - 1) // stride * stride - side for side in (height, width))
        return functional.pad(images, (0, right, 0, below), mode="replicate") if self.output.maps else images

    @property
    def title(self) -> str:
        """Name of the architecture, or of the class of the network."""
        return self.architecture.name if self.architecture else type(self.net).__name__

    @property
    def stride(self) -> int:
        """The number of which height and width of the images of a network of maps are multiples."""
        return self.output.stride

    @property
    def embedding_size(self) -> int:
        """Width of the embedding."""
        return sum(_width(layer) for layer in self._head_layers())

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of the head."""
        for name in self.heads:
            yield from self.net.get_submodule(name).parameters()

    def _head_layers(self) -> list[nn.Module]:
        if not self.heads:
            raise UsageError(
                "embed",
                expected="a network that ends in a linear or convolutional layer",
                got=type(self.net).__name__,
                todo="Add such a layer, with one output per class, to the network.",
            )
        return [self.net.get_submodule(name) for name in self.heads]


def no_published(name: str) -> UsageError:
    """Return the error about an architecture without published weights."""
    return UsageError(
        name,
        expected="published weights",
        got="none",
        todo="Start from random weights with --set training.pretrained=false.",
    )


def find_head(net: nn.Module, classes: int) -> tuple[str, ...]:
    """Return the name of the last linear or convolutional layer with `classes` outputs, or an empty tuple."""
    found = [name for name, layer in net.named_modules() if _outputs(layer) == classes]
    return tuple(found[-1:])


def _outputs(layer: nn.Module) -> int | None:
    if isinstance(layer, nn.Linear):
        return layer.out_features
    return layer.out_channels if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) else None


def _width(layer: nn.Module) -> int:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        return layer.in_channels
    return cast("nn.Linear", layer).in_features


def _pooled(features: Tensor) -> Tensor:
    return features.flatten(2).mean(2) if features.ndim > 2 else features


class Source(ABC):
    """Base class of the sources of backbones.

    A source is one file in `committee/backbones/sources`, and its file name is the prefix of the backbones'
    names, as in `timm:resnet18`.

    Attributes
    ----------
    pretrained_default : bool
        Whether networks start from published weights by default.
    search_order : int or None
        Place of the source in the search for a name without prefix, such as `resnet18`; None for a source
        whose names need the prefix.

    See Also
    --------
    committee.backbones.build.build : Build a backbone by name.

    Examples
    --------
    >>> from committee.backbones.base import SOURCES
    >>> "timm" in SOURCES.names()
    True
    >>> SOURCES.make("torchvision").has("resnet50")
    True
    """

    pretrained_default: ClassVar[bool] = True
    search_order: ClassVar[int | None] = None

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Return the names of all architectures of this source."""

    @abstractmethod
    def make(
        self, architecture: Architecture, classes: int, channels: int, img_size: int, pretrained: bool
    ) -> Backbone:
        """Build a network, with published weights if `pretrained`."""

    def returns_maps(self, key: str) -> bool | None:
        """Return whether a network returns an output for each pixel as it is; None if its builder decides."""
        return False

    def cut(self, backbone: Backbone, channels: int, stride: int) -> Features:
        """Return the layers up to an output stride.

        Parameters
        ----------
        backbone : Backbone
            What `make` returned; its network is changed.
        channels : int
            Number of channels of the images.
        stride : int
            Side of an image divided by that of the features, or `AUTO` for the default one.

        Raises
        ------
        UsageError
            The network does not have this stride, or no feature maps.
        """
        raise no_features(backbone.title)

    def convert(self, net: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Convert the state dict of a weights file to the names and shapes of `net`."""
        return state

    def has(self, key: str) -> bool:
        """Return whether the source has an architecture of this name."""
        return key in self.names()


SOURCES: Family[Source] = Family("committee.backbones.sources", "source of backbones")

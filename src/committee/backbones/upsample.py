"""Networks of maps from networks of classes: features of an output stride, and a head of upsampling."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from committee.errors import UsageError

OUTPUT_STRIDE = 8
"""The output stride of networks that are cut, if none is given and they have it."""
AUTO = 0
"""The output stride of networks that are cut at `OUTPUT_STRIDE`, or at the next larger one that they have."""
HEAD = "upsampling.0.conv.weight"
"""A tensor that only networks of maps have."""
WIDEST, NARROWEST = 256, 16
"""Channels of the blocks: each block halves those of its input, of which at most `WIDEST` count."""


class Features(NamedTuple):
    """The layers of a network up to an output stride.

    Attributes
    ----------
    body : nn.Module
        Maps images, float `[B, c, H, W]`, to features `[B, width, about H / stride, about W / stride]`.
    width : int
        Number of channels of the features.
    stride : int
        Output stride: side of an image divided by that of its features.
    """

    body: nn.Module
    width: int
    stride: int


class Block(nn.Module):
    """Bilinear upsampling, a 3x3 convolution, batch norm and ReLU.

    Parameters
    ----------
    inputs, outputs : int
        Numbers of channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor, size: Iterable[int]) -> Tensor:
        """Return features of a size `(height, width)`, float `[B, outputs, height, width]`."""
        larger = functional.interpolate(features, size=tuple(size), mode="bilinear", align_corners=False)
        return self.norm(self.conv(larger)).relu()


class Upsampled(nn.Module):
    """The features of a network, upsampled to the size of the images, with one output for each pixel.

    Each block doubles the height and width of the features, and halves their channels; the last one brings
    them to the size of the images. A 1x1 convolution, the head, computes the outputs.

    Parameters
    ----------
    features : Features
        The layers before the head.
    outputs : int
        Number of classes or targets.

    See Also
    --------
    committee.backbones.build.build : Build a network of maps by name: `build(name, outputs, maps=True)`.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from committee.backbones.upsample import Features, Upsampled
    >>> net = Upsampled(Features(nn.Conv2d(3, 32, 4, stride=4), width=32, stride=4), outputs=5)
    >>> net(torch.zeros(2, 3, 24, 16)).shape
    torch.Size([2, 5, 24, 16])
    """

    def __init__(self, features: Features, outputs: int) -> None:
        super().__init__()
        self.body = features.body
        count = max(1, math.ceil(math.log2(features.stride)))
        widths = [max(min(features.width, WIDEST) >> place, NARROWEST) for place in range(1, count + 1)]
        pairs = zip([features.width, *widths], widths, strict=False)
        self.upsampling = nn.ModuleList(Block(inputs, outputs) for inputs, outputs in pairs)
        self.head = nn.Conv2d(widths[-1], outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Turn normalized images `[B, c, H, W]` into outputs `[B, outputs, H, W]`."""
        features = self.body(images)
        *others, last = self.upsampling
        for block in others:
            height, width = features.shape[-2:]
            features = block(features, (2 * height, 2 * width))
        return torch.as_tensor(self.head(last(features, images.shape[-2:])))


def require_sides(who: str, stride: int, height: int, width: int) -> None:
    """Raise UsageError if an image is smaller than the stride of a network.

    Parameters
    ----------
    who : str
        Name of the image in the error.
    stride : int
        `Backbone.stride`.
    height, width : int
        Size of the image in pixels.

    Examples
    --------
    >>> from committee.backbones.upsample import require_sides
    >>> require_sides("cell.png", 8, height=6, width=200)
    Traceback (most recent call last):
    committee.errors.UsageError: cell.png: expected sides of at least 8 pixels, the stride of the network, \
got 6 x 200. Use larger images, or a network with a smaller output stride.
    """
    if min(height, width) < stride:
        raise UsageError(
            who,
            expected=f"sides of at least {stride} pixels, the stride of the network",
            got=f"{height} x {width}",
            todo="Use larger images, or a network with a smaller output stride.",
        )


def choose_stride(who: str, strides: Iterable[int], wanted: int) -> int:
    """Return the output stride `wanted` if a network has it; the default one for `AUTO`.

    Raises
    ------
    UsageError
        The network has other strides, or no feature maps; the message lists them.
    """
    known = sorted(set(strides))
    if not known:
        raise no_features(who)
    if wanted == AUTO:
        return next((each for each in known if each >= OUTPUT_STRIDE), known[-1])
    if wanted not in known:
        listed = " or ".join(filter(None, [", ".join(map(str, known[:-1])), str(known[-1])]))
        todo = "Set output_stride to one of these, or leave it out."
        raise UsageError(who, expected=f"an output stride of {listed}", got=str(wanted), todo=todo)
    return wanted


def no_features(who: str) -> UsageError:
    """Return the error about a network that cannot be cut."""
    return UsageError(
        who,
        expected="a network with feature maps of images of any size",
        got="one without",
        todo="Use a convolutional network of timm or torchvision, or a transformer of timm for images of any"
        " size: vit_*, deit_*, eva02_*, swin_*, pvt_v2_* or xcit_*.",
    )

"""A network of maps of our own: residual blocks, and transposed convolutions that restore the resolution."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

WIDTHS = (32, 64, 128, 192, 256)
"""Channels at the size of the images, and at 1/2, 1/4, 1/8 and 1/16 of it."""


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut (He et al. 2016); the first may halve the size."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = _normalized(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False))
        self.second = _normalized(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False))
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity() if same else _normalized(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features `[B, outputs, H / stride, W / stride]` of features `[B, inputs, H, W]`."""
        return torch.relu(self.second(self.first(features).relu()) + self.shortcut(features))


class ResidualDeconv(nn.Module):
    """A residual block that doubles the size by transposed convolutions, and adds features of that size.

    The kernels of 4x4 with a stride of 2 overlap evenly, so that they leave no pattern of squares.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = _normalized(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False))
        self.second = _normalized(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False))
        self.shortcut = _normalized(nn.ConvTranspose2d(inputs, outputs, 2, 2, bias=False))

    def forward(self, features: Tensor, larger: Tensor) -> Tensor:
        """Return features like `larger`, `[B, outputs, 2H, 2W]`, of features `[B, inputs, H, W]`."""
        return torch.relu(self.second(self.first(features).relu()) + self.shortcut(features) + larger)


class CustomResidualDeconv(nn.Module):
    """An encoder of residual blocks, and a decoder of residual blocks with transposed convolutions.

    Four stages of two residual blocks halve the size of the features; four blocks double it again, and add
    the features of the encoder that have their size, as in LinkNet (Chaurasia and Culurciello 2017).
    With three channels and two outputs it has 6.4 million parameters. There are no published weights.

    Parameters
    ----------
    outputs : int
        Number of classes or targets.
    channels : int
        Number of channels of the images.
    widths : sequence of int
        Channels at the size of the images, and after each stage.

    Examples
    --------
    >>> import torch
    >>> from committee.backbones.residual_deconv import CustomResidualDeconv
    >>> CustomResidualDeconv(outputs=5)(torch.zeros(1, 3, 32, 48)).shape
    torch.Size([1, 5, 32, 48])
    """

    def __init__(self, outputs: int, channels: int = 3, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.stem = _normalized(nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False))
        pairs = list(itertools.pairwise(widths))
        self.encoder = nn.ModuleList(
            nn.Sequential(Residual(inputs, width, 2), Residual(width, width)) for inputs, width in pairs
        )
        self.decoder = nn.ModuleList(ResidualDeconv(width, inputs) for inputs, width in reversed(pairs))
        self.head = nn.Conv2d(widths[0], outputs, 1)
        self.stride = 2 ** len(pairs)

    def forward(self, images: Tensor) -> Tensor:
        """Return maps `[B, outputs, H, W]` of images `[B, channels, H, W]` with multiples of `stride`."""
        features = [self.stem(images).relu()]
        for stage in self.encoder:
            features.append(stage(features[-1]))
        found = features.pop()
        for block in self.decoder:
            found = block(found, features.pop())
        maps: Tensor = self.head(found)
        return maps


def _normalized(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels))

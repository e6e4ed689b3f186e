"""A source of one small network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from committee.backbones.base import Architecture, Backbone, Source


class Own(Source):
    """Source of `own:tiny`."""

    pretrained_default = False

    def names(self) -> Sequence[str]:
        """Return the one name."""
        return ("tiny",)

    def make(
        self, architecture: Architecture, classes: int, channels: int, img_size: int, pretrained: bool
    ) -> Backbone:
        """Build the network."""
        net = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * channels, classes))
        return Backbone(net, ("2",), architecture, (0.5,) * 3, (0.5,) * 3)

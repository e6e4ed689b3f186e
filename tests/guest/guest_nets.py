"""A source of backbones: one small network."""

from __future__ import annotations

from torch import nn

from committee.backbones.base import Architecture, Backbone, Source, find_head


class GuestNets(Source):
    """Source of backbones named `guest_nets:tiny`."""

    pretrained_default = False

    def names(self):
        """Return the only name."""
        return ("tiny",)

    def make(
        self, architecture: Architecture, classes: int, channels: int, img_size: int, pretrained: bool
    ) -> Backbone:
        """Build a network of two convolutions."""
        net = nn.Sequential(
            nn.Conv2d(channels, 8, 3, 2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, 2),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, classes),
        )
        return Backbone(net, find_head(net, classes), architecture)

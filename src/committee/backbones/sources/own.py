"""Networks of maps of committee itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from committee.backbones.base import Architecture, Backbone, Source, no_published
from committee.backbones.outputs import Output
from committee.backbones.residual_deconv import CustomResidualDeconv


class OwnSource(Source):
    """Source of backbones named `own:NAME`, for which there are presets.

    See Also
    --------
    committee.backbones.build.build : Build a backbone by name.

    Examples
    --------
    >>> from committee.backbones.sources.own import OwnSource
    >>> OwnSource().names()
    ('residual_deconv',)
    """

    pretrained_default: ClassVar[bool] = False

    def names(self) -> Sequence[str]:
        """Return the names of all architectures."""
        return ("residual_deconv",)

    def returns_maps(self, key: str) -> bool | None:
        """Return True."""
        return True

    def make(
        self, architecture: Architecture, classes: int, channels: int, img_size: int, pretrained: bool
    ) -> Backbone:
        """Build a network for images of any size, with random weights."""
        if pretrained:
            raise no_published(architecture.name)
        net = CustomResidualDeconv(classes, channels, **architecture.options)
        return Backbone(net, ("head",), architecture, output=Output(maps=True, stride=net.stride))

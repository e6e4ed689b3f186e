"""Maps of images whose sides are no multiples of what a network needs."""

from __future__ import annotations

from torch import Tensor

from committee.backbones.base import Backbone


def maps_of(network: Backbone, pixels: Tensor) -> Tensor:
    """Return the maps of a network, float `[B, C, H, W]`, for normalized images `[B, c, H, W]` of any size.

    The right and the lower border are repeated up to the next multiple of the network's stride, and are cut
    off again.
    """
    height, width = pixels.shape[-2:]
    maps: Tensor = network(network.padded(pixels))
    return maps[..., :height, :width]

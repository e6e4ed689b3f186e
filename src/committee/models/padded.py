"""Maps of images whose sides are no multiples of what a network needs."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from committee.backbones.base import Backbone


def maps_of(network: Backbone, pixels: Tensor) -> Tensor:
    """Return the maps of a network, float `[B, C, H, W]`, for normalized images `[B, c, H, W]` of any size.

    The right and the lower border are repeated up to the next multiple of the network's stride, and are cut
    off again.
    """
    height, width = pixels.shape[-2:]
    right, below = -width % network.stride, -height % network.stride
    maps: Tensor = network(functional.pad(pixels, (0, right, 0, below), mode="replicate"))
    return maps[..., :height, :width]

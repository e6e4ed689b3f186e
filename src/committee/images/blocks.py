"""Processing of batches in memory order, and in blocks that fit into the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

_CACHE = 1 << 20
"""Bytes of float32 that fit into the cache of a core, so that several passes cost little more than one."""


def blocks(images: Tensor) -> Iterator[slice]:
    """Return slices of a batch `[B, c, H, W]`: a few images each on a CPU, all images on other devices."""
    values = max(1, images.shape[1:].numel())
    step = max(1, _CACHE // (4 * values) if images.device.type == "cpu" else len(images))
    return (slice(start, start + step) for start in range(0, len(images), step))


def colors_last(pixels: Tensor) -> bool:
    """Return whether pixels `[B, c, H, W]` have the channels-last memory format."""
    return not pixels.is_contiguous() and pixels.is_contiguous(memory_format=torch.channels_last)


def lines(pixels: Tensor, *channels: Tensor) -> tuple[Tensor, ...]:
    """Return a view of pixels `[B, c, H, W]` in memory order, and values `[c]` that broadcast to it.

    Torch is fast only on long innermost axes; with channels last, the innermost axis is a row of pixels.
    """
    if colors_last(pixels):
        width = pixels.shape[-1]
        return pixels.permute(0, 2, 3, 1).flatten(2), *(each.repeat(width) for each in channels)
    return pixels, *(each[:, None, None] for each in channels)

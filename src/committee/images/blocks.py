"""Pixels in the order of memory, and batches in pieces that stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

_CACHE = 1 << 20
"""Bytes of float32 that a core keeps near: several passes over so many cost little more than one."""


def blocks(images: Tensor) -> Iterator[slice]:
    """Return slices of a batch `[B, c, H, W]`: of a few images on a CPU, of all elsewhere."""
    step = max(1, _CACHE // (4 * images[0].numel())) if images.device.type == "cpu" else len(images)
    return (slice(start, start + step) for start in range(0, len(images), step))


def colors_last(pixels: Tensor) -> bool:
    """Return whether pixels `[B, c, H, W]` lie color by color in memory, as photos do."""
    return not pixels.is_contiguous() and pixels.is_contiguous(memory_format=torch.channels_last)


def lines(pixels: Tensor, *channels: Tensor) -> tuple[Tensor, ...]:
    """Return pixels `[B, c, H, W]` as they lie in memory, and numbers `[c]` of the channels in that order.

    Torch needs a long innermost axis to be fast: where the colors are last, that is a line of pixels.
    """
    if colors_last(pixels):
        width = pixels.shape[-1]
        return pixels.permute(0, 2, 3, 1).flatten(2), *(each.repeat(width) for each in channels)
    return pixels, *(each[:, None, None] for each in channels)

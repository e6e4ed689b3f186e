"""The same random crops for networks of any input size."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from committee.images.view import View
from committee.models.batch import Batch, resizing


class Crops(Batch):
    """Augmented crops of images, each at the resolution of the network that reads it.

    Random draws are relative to the canvas, so all networks see the same part of an image, flipped and
    colored alike, each from its own canvas and with its own normalization.

    Parameters
    ----------
    cut : callable
        Returns the crops `[B, c, size, size]` in 0..255 for a view of that size.
    source : uint8 tensor `[B, c, H, W]`
        The images that are cropped.
    largest : View
        The view with the largest canvas, for modules that take images only.
    """

    def __init__(self, cut: Callable[[View], Tensor], source: Tensor, largest: View) -> None:
        self.source, self._cut, self._largest = source, cut, largest
        self._found: dict[Hashable, Tensor] = {}

    def __len__(self) -> int:
        return len(self.source)

    @cached_property
    def images(self) -> Tensor:  # type: ignore[override]
        """Images uint8 `[B, c, S, S]` whose preprocessing is the crop: it is surrounded by a margin."""
        view = self._largest
        margin = view.canvas.size - view.size
        sides = (margin // 2, margin - margin // 2) * 2
        return functional.pad(self.resized(view).float(), sides, mode="replicate").round().to(torch.uint8)

    def resized(self, view: View, rows: Tensor | None = None) -> Tensor:
        """Return the crops `[B, c, size, size]` in 0..255 that a view normalizes."""
        key = resizing(view)
        if key not in self._found:
            self._found[key] = self._cut(view)
        return self._found[key] if rows is None else self._found[key][rows]

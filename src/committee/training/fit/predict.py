"""Prediction of rows of a data set by a trained module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.images.dataset import Dataset
from committee.images.view import CanvasSpec, View, views_by_canvas
from committee.models.batch import Batch
from committee.training.fit.batches import Rows
from committee.training.fit.memory import halving


class Canvases(Batch):
    """Canvases of the same rows: each network of a module gets the one that its preprocessing reads.

    Parameters
    ----------
    canvases : mapping of CanvasSpec to uint8 tensor `[B, c, size, size]`
    """

    def __init__(self, canvases: Mapping[CanvasSpec, Tensor]) -> None:
        super().__init__(canvases[max(canvases)])
        self.canvases = canvases

    def resized(self, view: View, rows: Tensor | None = None) -> Tensor:
        """Return the pixels `[B, c, size, size]` in 0..255 that a view normalizes; see `View.cut`."""
        pixels = view.cut(self.canvases[view.canvas])
        return pixels if rows is None else pixels[rows]

    def canvas(self, view: View, rows: Tensor | None = None) -> Tensor:
        """Return the canvas that a view reads, uint8 `[B, c, S, S]`."""
        pixels = self.canvases[view.canvas]
        return pixels if rows is None else pixels[rows]


def inputs_of(
    module: nn.Module, dataset: Dataset, rows: Rows | Sequence[int], device: torch.device
) -> Tensor | Canvases:
    """Return the canvases of rows that a module reads: a tensor, or several for different networks."""
    views = views_by_canvas(module)
    if len(views) < 2:
        return dataset.images(rows, next(iter(views.values()), None)).to(device)
    return Canvases({spec: dataset.images(rows, view).to(device) for spec, view in views.items()})


@torch.inference_mode()
def logits_of(
    module: nn.Module, dataset: Dataset, rows: Rows, *, batch_size: int, device: torch.device
) -> NDArray[np.float32]:
    """Return logits of rows, computed in evaluation mode and full precision.

    Parameters
    ----------
    module : nn.Module
        Maps uint8 `[B, c, H, W]` to logits `[B, C]`. Each of its networks gets its own canvas. Its device and
        mode are restored afterwards.
    dataset : Dataset
    rows : int64 `[N]`
        Rows of the data set; the logits are in their order.
    batch_size : int
        Images in a batch; fewer where memory runs out.
    device : torch.device

    Returns
    -------
    float32 array `[N, C]`

    Raises
    ------
    TrainingError
        There is no memory for a single image.
    """
    first = next(module.parameters(), torch.empty(0))
    home, mode = first.device, module.training
    module.eval().to(device)
    try:
        parts = list[NDArray[np.float32]]()
        start = 0
        while start < len(rows):

            def some(size: int, start: int = start) -> NDArray[np.float32]:
                images = inputs_of(module, dataset, rows[start : start + size], device)
                return module(images).float().cpu().numpy()

            part, batch_size = halving(
                some, min(batch_size, len(rows) - start), str(getattr(module, "name", "prediction"))
            )
            start += len(part)
            parts.append(part)
    finally:
        module.to(home).train(mode)
    return np.concatenate(parts) if parts else np.empty((0, len(dataset.class_names)), np.float32)

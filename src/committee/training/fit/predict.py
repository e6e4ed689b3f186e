"""Prediction of rows of a data set by a trained module."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from committee.images.dataset import Dataset
from committee.training.fit.batches import Rows
from committee.training.fit.memory import halving


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
                images = dataset.inputs(rows[start : start + size], module).to(device)
                return module(images).float().cpu().numpy()

            part, batch_size = halving(
                some, min(batch_size, len(rows) - start), str(getattr(module, "name", "prediction"))
            )
            start += len(part)
            parts.append(part)
    finally:
        module.to(home).train(mode)
    return np.concatenate(parts) if parts else np.empty((0, len(dataset.class_names)), np.float32)

"""A trained module's logits on rows of a data set."""

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
    """Return logits, float32 `[N, C]`, in evaluation mode and full precision.

    Parameters
    ----------
    module : nn.Module
        uint8 `[B, c, H, W]` -> logits `[B, C]`. It comes back on the device and in the mode that it had.
    dataset : Dataset
    rows : int64 `[N]`
        Rows of the data set, in the order that the logits shall have.
    batch_size : int
        Images at once; fewer where memory runs out.
    device : torch.device

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
                return module(dataset.images(rows[start : start + size]).to(device)).float().cpu().numpy()

            part, batch_size = halving(
                some, min(batch_size, len(rows) - start), str(getattr(module, "name", "prediction"))
            )
            start += len(part)
            parts.append(part)
    finally:
        module.to(home).train(mode)
    return np.concatenate(parts) if parts else np.empty((0, len(dataset.class_names)), np.float32)

"""Prediction of rows of a data set by a trained module."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.images.dataset import Dataset
from committee.images.view import views_by_canvas
from committee.models.canvases import Canvases
from committee.models.tiling import tiled
from committee.training.fit.batches import Rows
from committee.training.fit.memory import halving


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
    module: nn.Module,
    dataset: Dataset,
    rows: Rows,
    *,
    batch_size: int,
    device: torch.device,
    keep: Callable[[Tensor], None] | None = None,
) -> NDArray[np.float32]:
    """Return logits of rows, computed in evaluation mode and full precision.

    Of a data set of maps, the result is that of the sampled pixels of the rows (`Dataset.points`), `[R, C]`.

    Parameters
    ----------
    module : nn.Module
        Maps uint8 `[B, c, H, W]` to logits `[B, C]`, or to maps `[B, C, H, W]`. Each of its networks gets
        its own canvas. Its device and mode are restored afterwards.
    dataset : Dataset
    rows : int64 `[N]`
        Rows of the data set; the logits are in their order.
    batch_size : int
        Images in a batch; fewer where memory runs out.
    device : torch.device
    keep : callable, optional
        Of a data set of maps: called with the outputs for each row, float32 `[C, H, W]`, in their order.

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
        if dataset.maps is not None:
            return pixels_of(module, dataset, rows, device, keep)
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


def pixels_of(
    run: Callable[[Tensor], Tensor],
    dataset: Dataset,
    rows: Rows,
    device: torch.device,
    keep: Callable[[Tensor], None] | None = None,
) -> NDArray[np.float32]:
    """Return the outputs for the sampled pixels of rows, float32 `[R, C]`, from those for whole images.

    Parameters
    ----------
    run : callable
        Maps uint8 `[B, c, H, W]` to outputs `[B, C, H, W]`. Large images are predicted in tiles.
    dataset : Dataset
        With maps.
    rows : int64 `[N]`
    device : torch.device
    keep : callable, optional
        See `logits_of`.
    """
    maps, points = dataset.maps, dataset.points
    assert maps is not None and points is not None
    parts = [np.empty((0, len(dataset.class_names)), np.float32)]
    for row in rows.tolist():
        image = torch.from_numpy(np.array(maps.image(row))).permute(2, 0, 1).to(device)
        outputs = tiled(run, image, task=dataset.task)
        if keep is not None:
            keep(outputs)
        pixels = torch.from_numpy(points.pixel[dataset.positions(np.array([row]))]).to(device)
        parts.append(outputs.flatten(1)[:, pixels].T.cpu().numpy())
    return np.concatenate(parts)

"""Prediction of images with a module: probabilities or numbers of images, or of their pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.errors import UsageError
from committee.images.decode import Source
from committee.models._images import channels_of, image_batches
from committee.models.measure import device_of
from committee.models.not_finite import not_finite
from committee.models.streamed import shelf_of, together
from committee.models.tiling import OVERLAP, TILE, tiled, tiles_at_once
from committee.tasks.base import task_of_model


@torch.inference_mode()
def predict(
    module: nn.Module,
    images: Tensor | NDArray[np.uint8] | Sequence[Source],
    batch_size: int = 32,
    *,
    tile: int = TILE,
    overlap: float = OVERLAP,
) -> Any:
    """Return the probabilities, or the numbers, that a module predicts for images.

    Parameters
    ----------
    module : nn.Module
        A module from images to logits, or to numbers if its attribute `task` says so. It is set to evaluation
        mode.
    images : uint8 tensor or array [N, c, H, W], or sequence of paths, PIL images, bytes or arrays [H, W, c]
        The images. Those of a sequence may differ in size.
    batch_size : int
        Largest number of images of one size in a batch, or of tiles of an image.
    tile, overlap : int, float
        Of a module of maps: side of the tiles of large images in pixels, and their overlap as a fraction of
        it; see `committee.models.tiling.tiled`.

    Returns
    -------
    float32 array [N, C], or [N, C, H, W] of maps
        Maps of images of several sizes are a list of arrays `[C, H, W]`.

    Raises
    ------
    DataError
        A probability or a number is not finite.
    """
    if any(part.training for part in module.modules()):
        module.eval()
    if task_of_model(module).target_type.dense:
        return _maps(module, images, batch_size, tile, overlap)
    device = device_of(module)
    batches: Iterable[Any] = (
        batch.to(device) for batch in image_batches(images, channels_of(module), batch_size)
    )
    if (shelf := shelf_of(module)) is not None:
        shelf.prepare(batch_size)
        batches = together(shelf, module, batches)
    infer, task = getattr(module, "infer", module), task_of_model(module)
    outputs = [task.link(infer(batch).float()).cpu() for batch in batches]
    if not outputs:
        return np.zeros((0, len(_class_names(module))), np.float32)
    found: NDArray[np.float32] = torch.cat(outputs).numpy()
    wrong = int((~np.isfinite(found).all(1)).sum())
    if wrong:
        raise not_finite(module, images, f"{wrong} of {len(found)} images")
    return found


def _class_names(module: nn.Module) -> Sequence[str]:
    """Return the class names of a module, of which the shape of no predictions at all follows."""
    names: Sequence[str] = getattr(module, "class_names", ())
    if not names:
        raise UsageError("predict", expected="at least one image, or a model with class names", got="none")
    return names


def _maps(
    module: nn.Module,
    images: Tensor | NDArray[np.uint8] | Sequence[Source],
    batch_size: int,
    tile: int,
    overlap: float,
) -> NDArray[np.float32] | list[NDArray[np.float32]]:
    """Return what a module of maps predicts for the pixels of images."""
    device, task = device_of(module), task_of_model(module)
    infer = getattr(module, "infer", module)

    def run(tiles: Tensor) -> Tensor:
        return task.link(infer(tiles.to(device)).float()).cpu()

    found: list[NDArray[np.float32]] = []
    for image in image_batches(images, channels_of(module), 1):
        batch = tiles_at_once(batch_size, tile)
        maps: Any = tiled(run, image[0].cpu(), tile=tile, overlap=overlap, batch=batch)
        if not bool(torch.isfinite(maps).all()):
            raise not_finite(module, images, f"image {len(found) + 1}")
        found.append(maps.numpy())
    return np.stack(found) if len({maps.shape for maps in found}) == 1 else found

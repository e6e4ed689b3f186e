"""Selection of the fastest engine for a model of a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from committee.base.devices import resolve
from committee.base.limits import at_least
from committee.errors import UsageError
from committee.images.decode import decode
from committee.images.resize import Axis, resize
from committee.images.view import views_by_canvas
from committee.models.canvases import canvases_of
from committee.models.engine_choices import Choice, remove_choices
from committee.models.planner import choose
from committee.models.predictor import Images
from committee.models.tiling import TILE
from committee.pipeline.shared.engines import engine_key
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.photo import photos_of
from committee.recipe.model import Recipe
from committee.store.layout import Store
from committee.tasks.base import task_of_model

BATCH = 32
"""Number of images in a batch of `committee predict`."""


def optimize_stored(
    store: Store,
    name: str,
    recipe: Recipe,
    *,
    batch: int | None = None,
    size: tuple[int, int] | None = None,
    photos: Sequence[Path] = (),
    again: bool = False,
    **limits: Any,
) -> tuple[str, Choice, str, bool]:
    """Measure engines on a member or an ensemble of a store, and store which one is selected.

    Parameters
    ----------
    store : Store
    name : str
        Full or short name of the model.
    recipe : Recipe
        Its device, and the `python:` backbones that may be built.
    batch : int, optional
        Number of images. By default 32, as in `committee predict`, which predicts maps image by image.
    size : (height, width), optional
        Size of the images in pixels. By default, they are what `committee predict` gives to the model: the
        squares that its networks read of an image, or images of the median size of the data set.
    photos : sequence of Path
        Images; by default some of the data set.
    again : bool
        Whether stored choices for the model are removed, so that it is measured again.
    **limits
        `budget_s`, `tolerance` and `engines`; see `committee.models.planner.optimize`.

    Returns
    -------
    name : str
        Full name of the model.
    choice : Choice
        The selected engine, with the table of all engines.
    images : str
        What was measured, in words.
    stored : bool
        Whether the choice is a stored one.

    Raises
    ------
    UnknownNameError
        The store has no such model.
    StoreError
        A file is damaged, or another process writes to the store.
    """
    module, facts = load_model(store, name, trusted=recipe.trusted_backbones())
    module.to(resolve(recipe.device))
    dense = task_of_model(module).target_type.dense
    count = at_least("batch", (1 if dense else BATCH) if batch is None else batch, 1)
    example, origin = example_of(store, module, count, size, photos)
    key, folder = engine_key(store, facts["name"], facts["inference"]), store.engines(facts["name"])
    with store.hold():
        remove_choices(folder, "" if again else key)  # The model may have been trained again.
        choice, stored = choose(module, example, cache=folder, model=key, **limits)
    return facts["name"], choice, f"{count} x {' x '.join(map(str, example.shape[1:]))}, {origin}", stored


def example_of(
    store: Store,
    module: nn.Module,
    count: int,
    size: tuple[int, int] | None = None,
    photos: Sequence[Path] = (),
) -> tuple[Tensor, str]:
    """Return images uint8 `[B, c, H, W]` as `committee predict` gives them to a module, and their origin."""
    views = views_by_canvas(module)
    channels = next((spec.channels for spec in views), 3)
    if photos:
        images, origin = [decode(path, channels) for path in photos[:count]], "the given images"
    else:
        found = photos_of(store, channels, 1)
        images, origin = found.singles, found.origin
    if size is None and len(canvases_of(module)) == 1:
        (view,) = views.values()
        sized = [view.whole(torch.from_numpy(np.ascontiguousarray(image))[None]) for image in images]
        origin = f"squares that its networks read of {origin}"
    else:
        height, width = size or _median_size(images)
        sized = [_resized(image, height, width) for image in images]
    return torch.cat([sized[place % len(sized)] for place in range(count)]), origin


def _median_size(images: Sequence[Images]) -> tuple[int, int]:
    """Return the size of the image with the median number of pixels; of a large one, that of a tile."""
    shapes = sorted((image.shape[1:] for image in images), key=np.prod)
    height, width = shapes[len(shapes) // 2]
    return min(height, TILE), min(width, TILE)


def _resized(image: Images, height: int, width: int) -> Tensor:
    pixels = torch.from_numpy(np.ascontiguousarray(image))[None]
    return resize(
        pixels,
        Axis(0, image.shape[1], height, 0, height),
        Axis(0, image.shape[2], width, 0, width),
    )


def size_of(text: str) -> tuple[int, int]:
    """Return height and width of a text such as `480x640`.

    Raises
    ------
    UsageError
        It is another text.

    Examples
    --------
    >>> from committee.pipeline.optimize import size_of
    >>> size_of("480x640")
    (480, 640)
    """
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError("--size", expected="height and width in pixels, such as 480x640", got=f"'{text}'")
    return int(parts[0]), int(parts[1])

"""What a starter recipe says of images with masks: their sizes and classes, and settings that follow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from committee.base.text import count
from committee.errors import first_five
from committee.images.decode import size_of
from committee.images.readers.base import Samples
from committee.images.strata import with_previewed_classes
from committee.tasks.base import task_for

EXAMINED = 1000
"""Images whose sizes are read."""
LARGEST_CROP, STEP = 256, 32
"""Largest side of crops for training, and what sides are multiples of: strides of networks divide it."""
FEW, FOLDS = 10, 3
"""With fewer images than `FEW` in each of five folds, there are `FOLDS`."""


class MapFacts(NamedTuple):
    """The samples with the names of classes, a sentence about them, and values of the recipe."""

    samples: Samples
    note: str
    overrides: list[str]


def map_facts(samples: Samples) -> MapFacts:
    """Return what a starter recipe says of images with masks, of which only masks are decoded."""
    samples = with_previewed_classes(samples)
    kind, names = samples.target_type, samples.class_names
    overrides = [f"dataset.task={task_for(kind).key}"]
    sizes = _sizes(samples)
    if not len(sizes):
        return MapFacts(samples, "", overrides)
    smallest, largest = (f"{width} x {height}" for width, height in (sizes.min(axis=0), sizes.max(axis=0)))
    side = int(np.median(sizes.min(axis=1))) // STEP * STEP
    overrides.append(f"dataset.img_size={min(LARGEST_CROP, max(STEP, side))}")
    if samples.folds is None and len(samples.ids) < 5 * FEW:
        overrides.append(f"training.folds={FOLDS}")
    between = smallest if smallest == largest else f"{smallest} to {largest}"
    word = kind.output if len(names) == 1 else kind.outputs
    note = f"{count(len(samples.ids), 'image')} of {between} pixels, with masks of {len(names)} {word}: "
    return MapFacts(samples, f"{note}{first_five(names)}.", overrides)


def _sizes(samples: Samples) -> NDArray[np.int64]:
    """Return width and height of some images, int64 `[n, 2]`; broken ones are skipped."""
    images = samples.images
    found: Iterable[tuple[int, int] | None] = (
        [images.shape[2:0:-1]] if isinstance(images, np.ndarray) else map(size_of, images[:EXAMINED])
    )
    return np.array([size for size in found if size is not None], np.int64).reshape(-1, 2)

"""Images for latencies that a user meets: those of the data set, or else of the size of a photo."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from committee.base.quiet import quiet
from committee.errors import CommitteeError
from committee.images.decode import decode
from committee.images.readers.base import Samples
from committee.images.record import load_record, recorded_settings
from committee.images.source import read
from committee.store.layout import Store

log = logging.getLogger(__name__)

Image = NDArray[np.uint8]

HEIGHT, WIDTH = 3000, 4000
"""A photo of 12 megapixels, as a phone takes it."""
IMAGES = 15
"""Number of images whose sizes are compared."""
LARGEST = 2**20
"""Pixels of an image of a batch of several; larger images are reduced, so that a batch fits in memory."""
DATA_SET, UNKNOWN = "the median size of the images of the data set", "a photo of 12 megapixels"


@dataclass(frozen=True)
class Photo:
    """Height and width of an image, in pixels, and in words where they are from."""

    height: int
    width: int
    origin: str


@dataclass(frozen=True, eq=False)
class Photos:
    """Images that are given to a model one by one and as one batch.

    Attributes
    ----------
    singles : list of uint8 arrays `[c, H, W]`
        Images of the data set, of their own sizes.
    batch : uint8 array `[B, c, H, W]`
        The same images, repeated as often as needed and brought to the median size.
    origin : str
        Where they are from, in words.
    """

    singles: list[Image]
    batch: Image
    origin: str


def photo_of(store: Store) -> Photo:
    """Return the median size of the images of the store's data set.

    The images are up to `IMAGES` in equal distances; the one with the median number of pixels is the photo.
    If the images cannot be read, it has 12 megapixels.
    """
    try:
        samples = _samples(store)
        shapes = sorted((decode(samples.images[row]).shape[1:] for row in _some_rows(samples)), key=math.prod)
    except CommitteeError as error:
        log.debug("The size of a photo is not known: %s", error)
        return Photo(HEIGHT, WIDTH, UNKNOWN)
    height, width = shapes[len(shapes) // 2]
    return Photo(height, width, DATA_SET)


def photos_of(store: Store, channels: int, batch: int) -> Photos:
    """Return images of the store's data set, of the test split if there is one.

    If the images cannot be read, it is one random image of 12 megapixels.

    Parameters
    ----------
    store : Store
    channels : int
        1 or 3.
    batch : int
        Images in the batch of several.
    """
    try:
        samples = _samples(store)
        singles = [decode(samples.images[row], channels) for row in _some_rows(samples)]
        origin = "images of the data set"
    except CommitteeError as error:
        log.debug("The images of the data set cannot be read: %s", error)
        shape = (channels, HEIGHT, WIDTH)
        singles = [np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)]
        origin = UNKNOWN
    shapes = sorted((image.shape[1:] for image in singles), key=math.prod)
    height, width = _reduced(*shapes[len(shapes) // 2])
    resized = [_resized(image, height, width) for image in singles]
    return Photos(singles, np.stack([resized[place % len(resized)] for place in range(batch)]), origin)


def _samples(store: Store) -> Samples:
    with quiet("committee.images"):  # earlier stages have warned
        return read(recorded_settings(load_record(store), None, store))


def _some_rows(samples: Samples) -> Sequence[int]:
    """Return evenly spaced rows of the test split, or of all images without one."""
    rows = [row for row, split in enumerate(samples.splits) if split == "test"] or range(len(samples.images))
    return evenly_spaced(rows, IMAGES)


def evenly_spaced(rows: Sequence[int], count: int) -> list[int]:
    """Return at most `count` evenly spaced rows, including the first and the last."""
    places = np.linspace(0, len(rows) - 1, count).round().astype(int)
    return [rows[place] for place in dict.fromkeys(places.tolist())]


def _reduced(height: int, width: int) -> tuple[int, int]:
    factor = min(1.0, math.sqrt(LARGEST / (height * width)))
    return max(1, round(height * factor)), max(1, round(width * factor))


def _resized(image: Image, height: int, width: int) -> Image:
    """Return an image of another size, by its nearest pixels: only the time matters."""
    rows = np.arange(height) * image.shape[1] // height
    columns = np.arange(width) * image.shape[2] // width
    return image[:, rows[:, None], columns]

"""The size of a photo, for latencies that a user meets: the median size of the images of the data set."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from committee.errors import CommitteeError
from committee.images.decode import decode
from committee.images.record import load_record, recorded_settings
from committee.images.source import read
from committee.store.layout import Store

log = logging.getLogger(__name__)

HEIGHT, WIDTH = 3000, 4000
"""A photo of 12 megapixels, as a phone takes it."""
IMAGES = 15
"""Number of images whose sizes are compared."""


@dataclass(frozen=True)
class Photo:
    """Height and width of an image, in pixels, and in words where they are from."""

    height: int
    width: int
    origin: str


def photo_of(store: Store) -> Photo:
    """Return the median size of the images of the store's data set.

    The images are up to `IMAGES` in equal distances; the one with the median number of pixels is the photo.
    If the images cannot be read, it has 12 megapixels.
    """
    try:
        with _quiet():  # earlier stages have warned
            sources = read(recorded_settings(load_record(store), None, store)).images
        rows = np.unique(np.linspace(0, len(sources) - 1, IMAGES).astype(int))
        shapes = sorted((decode(sources[row]).shape[1:] for row in rows), key=math.prod)
    except CommitteeError as error:
        log.debug("The size of a photo is not known: %s", error)
        return Photo(HEIGHT, WIDTH, "a photo of 12 megapixels")
    height, width = shapes[len(shapes) // 2]
    return Photo(height, width, "the median size of the images of the data set")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warnings of readers."""
    readers = logging.getLogger("committee.images")
    level = readers.level
    readers.setLevel(logging.ERROR)
    try:
        yield
    finally:
        readers.setLevel(level)

"""Choice of how images become square (`dataset.fit: auto`), from the sizes of the images."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from committee.base.text import count
from committee.images.decode import size_of
from committee.images.readers.base import Images, Samples
from committee.images.record import Record
from committee.images.view import Fit
from committee.recipe.dataset import Dataset as Settings

log = logging.getLogger(__name__)


def with_fit(settings: Settings, known: Record | Samples, most: int | None = None) -> Settings:
    """Return the settings with `fit: auto` replaced by the fit that it stands for.

    It is `squash` where all images are square, so that nothing is cut away, and `crop` otherwise. Images
    with masks keep their size: `native`. A store keeps the fit that its images were first read with.

    Parameters
    ----------
    settings : Settings
        Section `dataset` of the recipe.
    known : Record or Samples
        The record of the store's data set, or the images of a new one.
    most : int, optional
        Largest number of images whose sizes are read.
    """
    if settings.fit != "auto":
        return settings
    fit = _fit(known, most) if isinstance(known, Samples) else known.source.get("fit", "crop")
    return settings.model_copy(update={"fit": fit})


def _fit(samples: Samples, most: int | None) -> Fit:
    if samples.target_type.dense:
        return "native"
    other = _first_oblong(samples.images, most)
    if other is None:
        log.info("All of %s are square: dataset.fit is squash", count(len(samples.ids), "image"))
        return "squash"
    row, (width, height) = other
    log.info("dataset.fit is crop: %s has %d x %d pixels", samples.ids[row], width, height)
    return "crop"


def header_sizes(images: Images, most: int) -> NDArray[np.int64]:
    """Return height and width of images by their headers, int64 `[N, 2]`; after `most`, their median.

    The size of a broken image is the median too.
    """
    if isinstance(images, np.ndarray):
        return np.tile(np.array(images.shape[1:3], np.int64), (len(images), 1))
    known = [size_of(image) for image in images[:most]]
    found = np.array([size[::-1] for size in known if size is not None] or [(1, 1)], np.int64)
    sizes = np.tile(np.median(found, axis=0).astype(np.int64), (len(images), 1))
    for row, size in enumerate(known):
        if size is not None:
            sizes[row] = size[::-1]
    return sizes


def _first_oblong(images: Images, most: int | None) -> tuple[int, tuple[int, int]] | None:
    """Return number and size of the first image that is not square, or None; broken images are skipped."""
    if isinstance(images, np.ndarray):
        height, width = images.shape[1:3]
        return None if width == height else (0, (width, height))
    sizes = ((row, size_of(image)) for row, image in enumerate(images[:most]))
    return next(((row, size) for row, size in sizes if size is not None and size[0] != size[1]), None)

"""Images of the data set of a store, for pictures in reports: those in its cache, or those of its source."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError
from committee.images.cache import FILE, cache_folder
from committee.images.decode import decode
from committee.images.map_cache import has_map_cache, open_map_cache
from committee.images.maps import Maps
from committee.images.record import Record
from committee.images.source import read
from committee.images.view import CanvasSpec, Fit
from committee.recipe.dataset import Dataset as Settings
from committee.store.layout import Store
from committee.store.manifest import is_done

_NAME = re.compile(r"canvas-(\d+)-([a-z]+)-([13])-[0-9a-f]+")

StoredImages = Callable[[int], NDArray[np.uint8]]
"""From a row of the data set to its image, uint8 `[H, W, channels]`."""


def stored_images(store: Store, record: Record) -> StoredImages | None:
    """Return the largest decoded images of a data set in the cache of its store, or None if it has none.

    Nothing is decoded and nothing is written.

    Parameters
    ----------
    store : Store
    record : Record
        The record of the data set of the store.
    """
    if record.kind.dense:
        maps = stored_maps(store, record)
        return None if maps is None else lambda row: np.array(maps.image(row))
    found = [spec for spec in _specs(store) if is_done(*cache_folder(store, record.cached_as, spec))]
    if not found:
        return None
    folder, _ = cache_folder(store, record.cached_as, max(found))
    pixels = np.load(folder / FILE, mmap_mode="r", allow_pickle=False)
    return (lambda row: np.array(pixels[row])) if len(pixels) == len(record.ids) else None


def source_images(record: Record) -> StoredImages:
    """Return the images of a data set in their own sizes, decoded from its source when they are asked for.

    Parameters
    ----------
    record : Record
        The record of the data set of a store.

    Raises
    ------
    CommitteeError
        The source cannot be read, or has none of the images. The function that is returned raises it for an
        image that the source lacks, or that cannot be decoded.
    """
    samples = read(Settings.model_validate(dict(record.source)), record.kind)
    rows = {name: row for row, name in enumerate(samples.ids)}
    if not rows.keys() & set(record.ids):
        raise DataError(
            str(record.source["path"] or record.name),
            expected=f"the images of {record.name}, such as '{record.ids[0]}'",
            got="others",
        )

    def image(row: int) -> NDArray[np.uint8]:
        name = record.ids[row]
        if name not in rows:
            raise DataError(record.name, expected=f"the image '{name}'", got="none")
        return decode(samples.images[rows[name]], name=name).transpose(1, 2, 0)

    return image


def stored_maps(store: Store, record: Record) -> Maps | None:
    """Return the decoded images and masks of a data set in the cache of its store, or None."""
    for channels in (3, 1):
        if has_map_cache(store, record.cached_as, channels):
            cache = open_map_cache(store, record.cached_as, None, channels, workers=0)
            return Maps(cache.images, cache.maps, cache.sizes, cache.channels, cache.means.shape[1])
    return None


def _specs(store: Store) -> list[CanvasSpec]:
    names = (_NAME.fullmatch(path.name) for path in store.root.glob("cache/canvas-*"))
    return [CanvasSpec(int(name[1]), cast("Fit", name[2]), int(name[3])) for name in names if name]

"""The decoded images of a data set: canvases, or images and maps in their own sizes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from committee.images.cache import Canvas, content_digest, hash_images, is_cached, open_canvases
from committee.images.map_cache import MapCache, has_map_cache, open_map_cache
from committee.images.readers.base import Samples
from committee.images.record import Record
from committee.images.view import CanvasSpec
from committee.recipe.dataset import Dataset as Settings
from committee.store.layout import Store
from committee.store.manifest import digest

Opened = Mapping[CanvasSpec, Canvas]


class Decoded(NamedTuple):
    """What the store has of decoded images: canvases, or images and maps in their own sizes."""

    canvases: Opened
    maps: MapCache | None = None


def sample_hashes(samples: Samples, settings: Settings) -> dict[str, str]:
    """Return the SHA-256 of each image by its id; with a mask, that of both."""
    hashes = hash_images(samples.images, settings.num_workers)
    if samples.masks is not None:
        masks = hash_images(samples.masks.sources, settings.num_workers)
        hashes = [f"{image} {mask}" for image, mask in zip(hashes, masks, strict=True)]
    return dict(zip(samples.ids, hashes, strict=True))


def sample_digest(samples: Samples, hashes: Mapping[str, str]) -> str:
    """Return the digest of images, and of masks and what their values mean."""
    content = content_digest(samples.ids, [hashes[name] for name in samples.ids])
    return content if samples.masks is None else digest([content, samples.meaning])


def suffices(
    record: Record, settings: Settings, specs: Collection[CanvasSpec], store: Store, folds: int
) -> bool:
    """Return whether the store contains the decoded images and folds, so that files need not be read."""
    decoded = (
        has_map_cache(store, record.cached_as, settings.channels)
        if record.kind.dense
        else is_cached(store, record.cached_as, specs)
    )
    return (not folds or record.has_folds(folds)) and decoded


def recorded(
    record: Record,
    samples: Samples | None,
    settings: Settings,
    store: Store,
    specs: Collection[CanvasSpec],
) -> Decoded:
    """Return the decoded images of a recorded data set; without samples, the store contains them."""
    return decode_samples(
        store, record.cached_as, record.ids, samples, record.kind.dense, settings, specs, all_good=True
    )


def decode_samples(
    store: Store,
    content: str,
    ids: Sequence[str],
    samples: Samples | None,
    dense: bool,
    settings: Settings,
    specs: Collection[CanvasSpec],
    *,
    all_good: bool = False,
) -> Decoded:
    """Return the decoded images of samples with this digest; without samples, the store contains them.

    Parameters
    ----------
    store : Store
    content : str
        `sample_digest` of all samples.
    ids : sequence of N str
    samples : Samples or None
    dense : bool
        Whether there are masks.
    settings : recipe.dataset.Dataset
    specs : collection of CanvasSpec
        Canvases of images without masks.
    all_good : bool
        Whether all images could be decoded before.
    """
    workers = settings.num_workers
    if dense:
        maps = open_map_cache(store, content, samples, settings.channels, workers=workers, all_good=all_good)
        return Decoded({}, maps)
    images = None if samples is None else samples.images
    return Decoded(open_canvases(store, content, ids, images, specs, workers=workers, all_good=all_good))

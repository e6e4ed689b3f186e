"""The one data set of a store: decoded once, split once, and read by every epoch, fold and member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.images.cache import (
    Canvas,
    content_digest,
    forget_others,
    hash_images,
    is_cached,
    open_canvas,
)
from committee.images.quarantine import check_broken, report_broken
from committee.images.readers.base import Samples
from committee.images.record import (
    Record,
    check_left_out,
    check_same,
    first_record,
    load_record,
    recorded_settings,
    with_folds,
)
from committee.images.source import read
from committee.images.view import Fit
from committee.recipe.dataset import Dataset as Settings
from committee.store.layout import Store
from committee.store.manifest import digest


class _Mapped:
    """Where a file's mapped array is."""

    def __init__(self, array: Any) -> None:
        self.file, self.offset, self.shape = str(array.filename), array.offset, array.shape

    def open(self) -> NDArray[np.uint8]:
        """Map it again, to be read only."""
        return np.memmap(self.file, np.uint8, "r", offset=self.offset, shape=self.shape)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Decoded images with all that is known of them; N rows.

    Parameters
    ----------
    name : str
    fingerprint : str
        Digest of contents, ids, labels, classes and splits. Folds have their own (`folds.fingerprint`).
    canvas : uint8 `[N, S, S, channels]`, memory-mapped
    labels : int64 `[N]`
    sample_ids : str `[N]`
    class_names : tuple of str
    splits : str `[N]`
        "train", "val" or "test"; "dropped" where another split has the content, and the recipe drops it here.
    folds : int64 `[N]`
        -1 outside the training rows, and everywhere where there is no cross-fit.
    groups : int64 `[N]`, optional
    canvas_size : int
        S, in pixels.
    fit : "crop", "squash" or "pad"
    channels : int
        1 or 3.
    quarantined : dict
        Sample id -> reason, of the images that could not be used; they are no rows.
    copies : dict
        Sample id -> id of the image that it repeats; both have one group.
    """

    name: str
    fingerprint: str
    canvas: NDArray[np.uint8]
    labels: NDArray[np.int64]
    sample_ids: NDArray[np.str_]
    class_names: tuple[str, ...]
    splits: NDArray[np.str_]
    folds: NDArray[np.int64]
    groups: NDArray[np.int64] | None
    canvas_size: int
    fit: Fit
    channels: int
    quarantined: Mapping[str, str] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """Send another process the name of the file of mapped images, not a copy of them."""
        file = getattr(self.canvas, "filename", None)
        return {**vars(self), "canvas": self.canvas if file is None else _Mapped(self.canvas)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        canvas = state["canvas"]
        vars(self).update(state, canvas=canvas.open() if isinstance(canvas, _Mapped) else canvas)

    def rows(self, split: Literal["train", "val", "test"]) -> NDArray[np.int64]:
        """Return the rows of a split, ascending."""
        return np.flatnonzero(self.splits == split)

    def images(self, rows: NDArray[np.int64] | Sequence[int]) -> Tensor:
        """Return the canvases of `rows`: uint8 `[len(rows), channels, S, S]`, a copy, channels-last."""
        return torch.from_numpy(self.canvas[np.asarray(rows, dtype=np.int64)]).permute(0, 3, 1, 2)


def open_dataset(
    settings: Settings | None, store: Store, *, canvas_size: int, folds: int, seed: int
) -> Dataset:
    """Open the store's data set; the first call reads, splits and decodes it.

    Parameters
    ----------
    settings : recipe section `dataset`, or None
        None, or one that names no images, takes the data set that the store has.
    store : Store
        Where the record of ids, splits and folds, and the decoded images are kept.
    canvas_size : int
        Side of the decoded squares, in pixels: `view.canvas_size` of the largest member.
    folds : int
        Number of folds; 0 is no cross-fit. The data's own fold column goes before it. Rows are dealt to folds
        once: 0 leaves earlier folds alone, and another number is refused.
    seed : int
        Decides the splits and the folds where the data do not. Later calls keep what the first one drew.

    Raises
    ------
    StoreError
        The store has other data, splits or folds.
    UsageError
        Neither the recipe nor the store names images.
    DataError
        The data cannot be used, or too many images are broken; the sentence says which file or row.
    """
    record = load_record(store)
    settings, named = _settings(settings, record, store)
    if record is not None and not named and _suffices(record, settings, store, canvas_size, folds):
        return _dataset(record, settings, canvas_size, _canvas(record, None, settings, store, canvas_size))
    samples = read(settings)
    hashes = dict(zip(samples.ids, hash_images(samples.images, settings.num_workers), strict=True))
    if record is None:
        fresh, canvas = _first(samples, hashes, settings, store, canvas_size, folds, seed)
    else:
        check_left_out(record, hashes, store)
        samples = samples.without(record.quarantined)
        check_same(record, samples, _digest(samples, hashes), settings, store)
        fresh = with_folds(record, samples, folds=folds, seed=seed)
        canvas = _canvas(fresh, samples, settings, store, canvas_size)
    if fresh != record:
        fresh.save(store)
    report_broken(fresh.quarantined, len(fresh.ids), store)
    return _dataset(fresh, settings, canvas_size, canvas)


def _first(
    samples: Samples,
    hashes: Mapping[str, str],
    settings: Settings,
    store: Store,
    size: int,
    folds: int,
    seed: int,
) -> tuple[Record, Canvas]:
    """Decode what was read, set aside what is broken, and split the rest."""
    as_read = _digest(samples, hashes)
    canvas = open_canvas(
        store,
        as_read,
        samples.ids,
        samples.images,
        size=size,
        fit=settings.fit,
        channels=settings.channels,
        workers=settings.num_workers,
    )
    check_broken(canvas.broken, len(samples.ids), settings.max_broken, store)
    kept = samples.without(canvas.broken)
    record = first_record(kept, _digest(kept, hashes), canvas.prints, settings, store, folds=folds, seed=seed)
    record = replace(
        record,
        as_read=as_read,
        quarantined=canvas.broken,
        left_out={name: hashes[name] for name in canvas.broken},
    )
    forget_others(store, as_read)
    return with_folds(record, kept, folds=folds, seed=seed), canvas


def _digest(samples: Samples, hashes: Mapping[str, str]) -> str:
    return content_digest(samples.ids, [hashes[name] for name in samples.ids])


def foresee_dataset(
    settings: Settings | None, store: Store, *, canvas_size: int, folds: int, seed: int
) -> Dataset:
    """Return what `open_dataset` would, with no images in it; nothing is written.

    Parameters and errors are those of `open_dataset`. Images are not read: if the store has a data set, their
    content is taken to be the same.
    """
    record = load_record(store)
    settings, named = _settings(settings, record, store)
    if record is None or named or (folds and not record.is_dealt(folds)):
        samples = read(settings)
        if record is None:
            record = first_record(samples, "", None, settings, store, folds=folds, seed=seed)
        else:
            samples = samples.without(record.quarantined)
            check_same(record, samples, record.content, settings, store)
        record = with_folds(record, samples, folds=folds, seed=seed)
    empty = np.empty((0, 0, 0, settings.channels), np.uint8)
    return _dataset(record, settings, canvas_size, Canvas(empty, np.empty((0, 2), np.uint64), {}))


def _settings(settings: Settings | None, record: Record | None, store: Store) -> tuple[Settings, bool]:
    """Return where the images come from, and whether the recipe says so."""
    if settings is not None and settings.is_named:
        return settings, True
    return recorded_settings(record, settings, store), False


def _suffices(record: Record, settings: Settings, store: Store, size: int, folds: int) -> bool:
    """Return whether all that is asked for can be had without the images' source."""
    cached = is_cached(store, record.cached_as, size, settings.fit, settings.channels)
    return cached and (not folds or record.is_dealt(folds))


def _canvas(record: Record, samples: Samples | None, settings: Settings, store: Store, size: int) -> Canvas:
    return open_canvas(
        store,
        record.cached_as,
        record.ids,
        None if samples is None else samples.images,
        size=size,
        fit=settings.fit,
        channels=settings.channels,
        workers=settings.num_workers,
        all_good=True,
    )


def _dataset(record: Record, settings: Settings, size: int, canvas: Canvas) -> Dataset:
    return Dataset(
        name=record.name,
        fingerprint=digest([record.fingerprint, record.splits, settings.fit, settings.channels]),
        canvas=canvas.pixels,
        labels=np.array(record.labels, dtype=np.int64),
        sample_ids=np.array(record.ids, dtype=np.str_),
        class_names=tuple(record.class_names),
        splits=np.array(record.splits, dtype=np.str_),
        folds=np.array(record.folds, dtype=np.int64),
        groups=None if record.groups is None else np.array(record.groups, dtype=np.int64),
        canvas_size=size,
        fit=settings.fit,
        channels=settings.channels,
        quarantined=record.quarantined,
        copies=record.copies,
    )

"""The data set of a store: decoded and split once, then used by every epoch, fold and member."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.base.randomness import sample_keys
from committee.errors import DataError
from committee.images.cache import remove_other_canvases
from committee.images.decoded import (
    Decoded,
    decode_samples,
    recorded,
    sample_digest,
    sample_hashes,
    suffices,
)
from committee.images.joint import centers
from committee.images.map_cache import remove_other_map_caches
from committee.images.mapped import Mapped
from committee.images.maps import Maps, Points, Table
from committee.images.points import open_points
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
from committee.images.source import read, report_classes
from committee.images.squares import header_sizes, with_fit
from committee.images.strata import warn_of_untrained, with_previewed_classes, with_strata
from committee.images.view import PIXELS, CanvasSpec, Fit, View, canvas_size
from committee.images.waiting import held
from committee.predictions.target_types import CLASSES, TargetType
from committee.recipe.dataset import Dataset as Settings
from committee.store.layout import Store
from committee.store.manifest import digest
from committee.tasks.base import Task, task_for

PREVIEWED = 1000
"""Images whose sizes a preview reads, to foresee how they become square."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """N decoded images with labels, splits, folds and groups.

    A data set of maps has a label for each pixel. What is combined then are pixels: see `table`.

    Parameters
    ----------
    name : str
        Name of the data set.
    fingerprint : str
        Digest of contents, ids, labels, classes and splits. Folds have their own digest
        (`folds.fingerprint`).
    canvases : mapping of CanvasSpec to uint8 `[N, S, S, channels]`, memory-mapped
        Decoded images, as each preprocessing needs them.
    labels : int64 `[N]`, or float64 `[N, T]`
        Index of each image's class in `class_names`, or its targets. Of maps, a stratum for splits.
    sample_ids : str `[N]`
        Unique ids of the images.
    class_names : tuple of str
        Names of the classes, or of the targets.
    splits : str `[N]`
        "train", "val" or "test"; "dropped" for copies of images in another split that the recipe drops.
    folds : int64 `[N]`
        Fold of each training row; -1 for other rows and without cross-fitting.
    groups : int64 `[N]`, optional
        Group of each image.
    fit : "crop", "squash" or "pad"
        How images become square for networks that are trained now.
    channels : int
        1 or 3.
    quarantined : dict
        Sample id -> reason, for images that could not be decoded, which are not rows.
    copies : dict
        Sample id -> id of the image of which it is a copy; both are in the same group.
    target_type : TargetType
        What labels are.
    units : tuple of str
        Unit of each target; empty without units.
    maps : Maps, optional
        Images and maps in their own sizes, in place of canvases.
    points : Points, optional
        The sample of pixels of maps.
    keep_maps : "auto", "store" or "recompute"
        Whether fits store their outputs for all pixels.
    sizes : int64 `[N, 2]`, optional
        Height and width of images with maps.

    See Also
    --------
    open_dataset : Read, split and decode the images of a recipe.

    Examples
    --------
    >>> import tempfile
    >>> from committee.images.dataset import open_dataset
    >>> from committee.recipe.dataset import Dataset as Settings
    >>> from committee.store.layout import Store
    >>> settings = Settings(name="digits", channels=1, num_workers=0)
    >>> with tempfile.TemporaryDirectory() as root:
    ...     dataset = open_dataset(settings, Store(root), img_sizes=[8], folds=5, seed=0)
    ...     dataset.images(dataset.rows("test")[:4]).shape
    torch.Size([4, 1, 8, 8])
    """

    judging_share: ClassVar[float] = 0.5
    """Share of the val split that judges epochs if there are no folds."""

    name: str
    fingerprint: str
    canvases: Mapping[CanvasSpec, NDArray[np.uint8]]
    labels: NDArray[Any]
    sample_ids: NDArray[np.str_]
    class_names: tuple[str, ...]
    splits: NDArray[np.str_]
    folds: NDArray[np.int64]
    groups: NDArray[np.int64] | None
    fit: Fit
    channels: int
    quarantined: Mapping[str, str] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)
    target_type: TargetType = CLASSES
    units: tuple[str, ...] = ()
    maps: Maps | None = None
    points: Points | None = None
    keep_maps: str = "auto"
    sizes: NDArray[np.int64] | None = None

    @cached_property
    def task(self) -> Task:
        """What is predicted."""
        return task_for(self.target_type)

    @cached_property
    def strata(self) -> NDArray[np.int64]:
        """Stratum of each row, int64 `[N]`: draws of rows get about the same share of each."""
        return self.target_type.strata(self.labels)

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        """Key of each sample id, uint64 `[N]`, from which the augmentation of an image follows."""
        return sample_keys(self.sample_ids)

    @cached_property
    def table(self) -> Table:
        """The samples of predictions: all images, or the sample of pixels of maps."""
        if self.points is None or self.maps is None:
            rows = np.arange(len(self.labels))
            return Table(self.sample_ids, self.labels, self.folds, self.groups, rows)
        return self.points.table(self.maps, self.sample_ids, self.folds, self.groups)

    def positions(self, rows: NDArray[np.int64] | Sequence[int]) -> NDArray[np.int64]:
        """Return the positions in `table` of images, int64: `rows`, or those of their pixels."""
        rows = np.asarray(rows, dtype=np.int64)
        return rows if self.points is None else self.points.positions(rows)

    def learned(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the labels that a fit on `rows` learns: theirs, or those of their sampled pixels."""
        labels: NDArray[Any] = self.table.labels[self.positions(rows)]
        return labels

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the paths of the memory-mapped images in place of their content."""
        state = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**state, "canvases": {spec: Mapped.of(array) for spec, array in self.canvases.items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        opened = {spec: Mapped.opened(each) for spec, each in state["canvases"].items()}
        vars(self).update(state, canvases=opened)

    def rows(self, split: Literal["train", "val", "test"]) -> NDArray[np.int64]:
        """Return the rows of a split in ascending order."""
        return np.flatnonzero(self.splits == split)

    def images(self, rows: NDArray[np.int64] | Sequence[int], view: View | None = None) -> Tensor:
        """Return copies of the images of `rows`, uint8 `[len(rows), channels, S, S]`, channels-last.

        Parameters
        ----------
        rows : int64 `[B]`
        view : View, optional
            The preprocessing for which they are; only for a data set with one canvas may it be left out. Of
            images with maps, the square in the center, of the size of the view, is returned.

        Raises
        ------
        DataError
            The canvas of `view` was not opened.
        """
        if self.maps is not None and view is not None:
            return centers(self.maps, np.asarray(rows, dtype=np.int64), view.size)
        (spec,) = self.canvases if view is None else (view.canvas,)
        if spec not in self.canvases:
            raise DataError(
                self.name,
                expected="images decoded as {}-{}-{}".format(*spec),
                got=", ".join("{}-{}-{}".format(*each) for each in self.canvases),
                todo="Name their size in open_dataset.",
            )
        pixels = self.canvases[spec][np.asarray(rows, dtype=np.int64)]
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def open_dataset(
    settings: Settings | None,
    store: Store,
    *,
    img_sizes: Collection[int] = (),
    canvases: Collection[CanvasSpec] = (),
    folds: int,
    seed: int,
) -> Dataset:
    """Open the store's data set; the first call reads, splits and decodes it.

    Parameters
    ----------
    settings : recipe.dataset.Dataset or None
        Section `dataset` of the recipe. If None or without path and name, the data set of the store is used.
    store : Store
        Store of the record of ids, splits and folds, and of the decoded images.
    img_sizes : collection of int
        Sizes in pixels of the inputs of networks that are to be trained; each has its own canvas.
    canvases : collection of CanvasSpec
        Canvases of stored networks. All canvases that are missing are made in one pass over the images.
    folds : int
        Number of folds; 0 disables cross-fitting. A fold column of the data takes precedence. Rows are
        assigned to folds once: 0 keeps existing folds, and another number is an error.
    seed : int
        Seed of splits and folds that the data does not define. Later calls keep those of the first.

    Raises
    ------
    StoreError
        The store contains other data, splits or folds.
    UsageError
        Neither the recipe nor the store has images.
    DataError
        The data cannot be used, or too many images are broken; the message names the file or row.

    See Also
    --------
    Dataset : The result, with an example.
    preview_dataset : The same without images.
    """
    record = load_record(store)
    settings, named = _settings(settings, record, store)
    known = read(settings) if record is None else record
    settings = with_fit(settings, known)
    fit = cast("Fit", settings.fit)
    sides = [canvas_size(size, fit) for size in img_sizes]
    specs = dict.fromkeys([*(CanvasSpec(side, fit, settings.channels) for side in sides), *canvases])
    if record is not None and not named and suffices(record, settings, specs, store, folds):
        return _dataset(record, settings, recorded(record, None, settings, store, specs), store)
    samples = known if isinstance(known, Samples) else read(settings, known.kind)
    hashes = sample_hashes(samples, settings)
    if record is None:
        # Another process that holds the lock of a store without a record makes it.
        with held(store, lambda: load_record(store) is None, lambda: True):
            if load_record(store) is not None:
                return open_dataset(
                    settings, store, img_sizes=img_sizes, canvases=canvases, folds=folds, seed=seed
                )
            fresh, opened = _first(samples, hashes, settings, store, specs, folds, seed)
            fresh.save(store)
    else:
        check_left_out(record, hashes, store)
        samples = samples.without(record.quarantined)
        check_same(record, samples, sample_digest(samples, hashes), settings, store)
        fresh = with_folds(record, samples, folds=folds, seed=seed)
        opened = recorded(fresh, samples, settings, store, specs)
        if fresh != record:
            fresh.save(store)
    report_broken(fresh.quarantined, len(fresh.ids), store)
    return _dataset(fresh, settings, opened, store)


def _first(
    samples: Samples,
    hashes: Mapping[str, str],
    settings: Settings,
    store: Store,
    specs: Collection[CanvasSpec],
    folds: int,
    seed: int,
) -> tuple[Record, Decoded]:
    """Decode the images, leave out broken ones, and split the others."""
    as_read = sample_digest(samples, hashes)
    opened = decode_samples(store, as_read, samples.ids, samples, samples.masks is not None, settings, specs)
    found = next(iter(opened.canvases.values())) if opened.maps is None else opened.maps
    check_broken(found.broken, len(samples.ids), settings.max_broken, store)
    kept = samples.without(found.broken)
    texts = kept.texts()
    if opened.maps is not None:
        kept = with_strata(kept, opened.maps)
        texts = [f"mask {hashes[name].rpartition(' ')[2][:12]}" for name in kept.ids]
        report_classes(kept, settings)
    content = sample_digest(kept, hashes)
    record = first_record(kept, content, found.prints, texts, settings, store, folds=folds, seed=seed)
    record = replace(
        record,
        as_read=as_read,
        quarantined=found.broken,
        left_out={name: hashes[name] for name in found.broken},
    )
    if opened.maps is not None:
        warn_of_untrained(record, opened.maps)
    remove_other_canvases(store, as_read, specs)
    remove_other_map_caches(store, as_read, settings.channels)
    return with_folds(record, kept, folds=folds, seed=seed), opened


def preview_dataset(settings: Settings | None, store: Store, *, folds: int, seed: int) -> Dataset:
    """Return the data set that `open_dataset` would return, without its images, and without writing.

    Parameters and errors are those of `open_dataset`. Images are not read: if the store contains a data set,
    their content is assumed to be unchanged.
    """
    settings, named = _settings(settings, load_record(store), store)
    record = None if named and not store.has_results() else load_record(store)
    known = read(settings) if record is None else record
    settings = with_fit(settings, known, most=PREVIEWED)
    if record is None or named or (folds and not record.has_folds(folds)):
        samples = with_previewed_classes(known if isinstance(known, Samples) else read(settings, known.kind))
        if record is None:
            record = first_record(samples, "", None, (), settings, store, folds=folds, seed=seed)
        else:
            samples = samples.without(record.quarantined)
            check_same(record, samples, record.content, settings, store)
        record = with_folds(record, samples, folds=folds, seed=seed)
        sizes = header_sizes(samples.images, PREVIEWED) if record.kind.dense else None
        return replace(_dataset(record, settings, Decoded({}), store), sizes=sizes)
    decoded = suffices(record, settings, (), store, folds)
    opened = recorded(record, None, settings, store, ()) if decoded and record.kind.dense else Decoded({})
    return _dataset(record, settings, opened, store)


def _settings(settings: Settings | None, record: Record | None, store: Store) -> tuple[Settings, bool]:
    """Return the settings of the images, and whether the recipe contains them."""
    if settings is not None and settings.is_named:
        return settings, True
    return recorded_settings(record, settings, store), False


def remove_unused(store: Store, specs: Collection[CanvasSpec]) -> None:
    """Remove the decoded images of the store's data set, except for these canvases."""
    record = load_record(store)
    if record is not None:
        remove_other_canvases(store, record.cached_as, specs)


def _units(record: Record, settings: Settings) -> tuple[str, ...]:
    """Return the unit of each target, by the recipe or by the store; none if neither names units."""
    known = {**record.units, **settings.units}
    return tuple(known.get(name, "") for name in record.class_names) if known else ()


def _dataset(record: Record, settings: Settings, opened: Decoded, store: Store) -> Dataset:
    ids = np.array(record.ids, dtype=np.str_)
    maps, points = None, None
    if (found := opened.maps) is not None:
        maps = Maps(found.images, found.maps, found.sizes, found.channels, found.means.shape[1])
        pixels = record.source["pixels_per_image"]
        points = open_points(store, record.content, maps, ids, found.counts, pixels)
    return Dataset(
        name=record.name,
        fingerprint=digest([record.fingerprint, record.splits, settings.fit, settings.channels, PIXELS]),
        canvases={spec: canvas.pixels for spec, canvas in opened.canvases.items()},
        labels=record.values,
        sample_ids=ids,
        class_names=tuple(record.class_names),
        splits=np.array(record.splits, dtype=np.str_),
        folds=np.array(record.folds, dtype=np.int64),
        groups=None if record.groups is None else np.array(record.groups, dtype=np.int64),
        fit=cast("Fit", settings.fit),
        channels=settings.channels,
        quarantined=record.quarantined,
        copies=record.copies,
        target_type=record.kind,
        units=_units(record, settings),
        keep_maps=settings.keep_maps,
        maps=maps,
        points=points,
        sizes=None if maps is None else maps.sizes,
    )

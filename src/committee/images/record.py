"""The record of a store's data set: ids, labels, splits and folds, fixed by the first run."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import StoreError, UsageError, first_five
from committee.images.copies import DROPPED, check_folds, merge, resolve_copies
from committee.images.readers.base import Samples
from committee.images.splits import assign_folds, assign_splits, check_splits, join_val, own_folds
from committee.images.waiting import held
from committee.predictions.target_types import CLASSES, TARGET_TYPES, TargetType
from committee.recipe.dataset import Dataset as Settings
from committee.recipe.section import overlay
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.manifest import digest, read_manifest
from committee.store.remote.address import is_address
from committee.untrusted.documents import build, read_json

log = logging.getLogger(__name__)

FILE = "samples.json"
FROZEN = {"test_size": "split", "val": "split", "val_size": "split"}
FROZEN_OF_MAPS = {"pixels_per_image": "sample of pixels"}
"""Keys of the recipe that cannot change in a store, and what they determine."""


@dataclass(frozen=True)
class Record:
    """The content of `dataset/samples.json`.

    Parameters
    ----------
    name : str
        Name of the data set.
    fingerprint : str
        Digest of the source: contents, ids, labels, and its splits, folds and groups.
    content : str
        Digest of the images alone.
    source : dict
        The recipe's `dataset` section, to read the images again.
    ids, labels, splits, groups, folds : lists of length N
        `labels` are indices into `class_names`; folds are -1 for rows outside the training split.
    class_names : list of str
        Names of the classes.
    own_folds : bool
        Whether the data has a fold column.
    as_read : str
        Digest of all images including the quarantined ones, which identifies the cache.
    quarantined : dict
        Sample id -> reason, for images that could not be decoded; they are not in the lists.
    left_out : dict
        Sample id -> SHA-256 of the same images, to detect that they have been repaired.
    copies : dict
        Sample id -> id of the image of which it is a copy.
    target_type : str
        What labels are: `classes`, or `numbers`, which are lists of length T in place of indices; of
        `class_maps` and `number_maps`, labels are the strata of images, and -1 if no pixel has a label.
    units : dict
        Target -> its unit, where the recipe names one.

    See Also
    --------
    load_record : Load the record of a store.
    committee.images.dataset.open_dataset : Open the data set of a store.
    """

    name: str
    fingerprint: str
    content: str
    source: Mapping[str, Any]
    ids: list[str]
    labels: list[Any]
    class_names: list[str]
    splits: list[str]
    groups: list[int] | None
    folds: list[int]
    own_folds: bool
    as_read: str = ""
    quarantined: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)
    target_type: str = CLASSES.name
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> TargetType:
        """What labels are."""
        return TARGET_TYPES[self.target_type]

    @property
    def values(self) -> NDArray[Any]:
        """The labels: int64 `[N]`, or float64 `[N, T]`."""
        return np.array(self.labels)

    def content_of_file(self) -> dict[str, Any]:
        """Return the fields as JSON values, without those that data sets of classes do not have."""
        defaults = {"target_type": CLASSES.name, "units": {}}
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {key: value for key, value in found.items() if value != defaults.get(key, self)}

    @property
    def cached_as(self) -> str:
        """Digest that identifies the cache of decoded images."""
        return self.as_read or self.content

    def has_folds(self, folds: int) -> bool:
        """Return whether the rows are assigned to folds, and check the number of folds.

        Raises
        ------
        StoreError
            The number of folds is not `folds`, and the data has no fold column.
        """
        count = max(self.folds) + 1
        if count and not self.own_folds and count != folds:
            raise StoreError(
                "training.folds",
                expected=f"{count}, the number of folds in this store",
                got=str(folds),
                todo="Use another --store for other folds.",
            )
        return count > 0

    def save(self, store: Store) -> None:
        """Write the record to the store, replacing an earlier one."""
        content = self.content_of_file()
        with (
            held(store, lambda: True),
            commit(
                store.dataset_folder(),
                kind="dataset",
                fingerprint=digest(content),
                name=self.name,
                rows=len(self.ids),
                classes=len(self.class_names),
                data=self.fingerprint,
            ) as place,
        ):
            (place / FILE).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def load_record(store: Store) -> Record | None:
    """Return the record of the store, or None if it contains no data set.

    Raises
    ------
    StoreError
        The record is damaged.
    """
    folder = store.dataset_folder()
    if not folder.is_dir():
        return None
    read_manifest(folder)
    path, expected = folder / FILE, "the record of a data set"
    return build(lambda: Record(**read_json(path, expected)), path, expected)


def recorded_settings(record: Record | None, settings: Settings | None, store: Store) -> Settings:
    """Return the settings of the store's data set, updated with those of the recipe.

    Raises
    ------
    UsageError
        The store contains no data set.
    """
    if record is None:
        raise UsageError(
            "dataset.path",
            expected="the folder or file of the images",
            got=f"none, and the store {store!s} contains no data set",
            todo="Set it: --set dataset.path=FOLDER",
        )
    source = Settings.model_validate(dict(record.source))
    return source if settings is None else overlay(source, settings)


def first_record(
    samples: Samples,
    content: str,
    prints: NDArray[np.uint64] | None,
    texts: Sequence[str],
    settings: Settings,
    store: Store,
    *,
    folds: int,
    seed: int,
) -> Record:
    """Return the record of a new data set, whose rows are not assigned to folds yet.

    Parameters
    ----------
    samples : Samples
        The samples whose images can be decoded.
    content : str
        Digest of their images.
    prints : uint64 `[N, 2]` or None
        Hashes that identify copies; None if images were not decoded.
    texts : sequence of N str
        Texts that are equal for equal labels.
    settings, store, folds, seed
        As in `open_dataset`.

    Raises
    ------
    DataError
        The data cannot be split, or two of its splits share images.
    """
    kind, labels = samples.target_type, samples.values
    strata, rare = kind.strata(labels), not kind.everywhere
    ids, names = np.array(samples.ids), _names(samples)
    splits, first = _given_splits(samples, prints, texts, settings, store, folds)
    splits = np.where(strata < 0, DROPPED, splits)
    groups = merge(None if names is None else np.unique(names, return_inverse=True)[1], first)
    splits = assign_splits(
        ids,
        strata,
        splits,
        groups,
        test_size=settings.test_size,
        val_size=settings.val_size,
        folds=folds,
        seed=seed,
        class_names=samples.class_names,
        rare=rare,
    )
    check_splits(samples.class_names, strata, splits, names, rare=rare)
    if not folds and not settings.val_size and "val" not in samples.splits:
        _say_that_val_is_held_out(splits)
    copies = np.flatnonzero(first != np.arange(len(ids)))
    return Record(
        name=settings.name or Path(settings.path or "").stem,
        fingerprint=fingerprint(samples, content),
        content=content,
        source=_source(settings),
        ids=samples.ids,
        labels=labels.tolist(),
        class_names=list(samples.class_names),
        splits=splits.tolist(),
        groups=None if groups is None else groups.tolist(),
        folds=[-1] * len(labels),
        own_folds=samples.folds is not None,
        as_read=content,
        copies={samples.ids[row]: samples.ids[first[row]] for row in copies},
        target_type=kind.name,
        units={name: unit for name, unit in settings.units.items() if name in samples.class_names},
    )


def _say_that_val_is_held_out(splits: NDArray[np.str_]) -> None:
    log.info(
        "Without folds, ensembles are fitted on a val split: %d of %d images are held out for it "
        "(dataset.val_size)",
        (splits == "val").sum(),
        len(splits),
    )


def _given_splits(
    samples: Samples,
    prints: NDArray[np.uint64] | None,
    texts: Sequence[str],
    settings: Settings,
    store: Store,
    folds: int,
) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    """Return the splits of the data, without copies in several splits, and the first copy of each row."""
    ids = np.array(samples.ids)
    splits = join_val(np.array(samples.splits), val=settings.val, folds=folds)
    if prints is None:
        return splits, np.arange(len(ids))
    drop = settings.duplicates == "drop"
    return resolve_copies(ids, np.array(texts), splits, prints, drop=drop, store=store)


def with_folds(record: Record, samples: Samples, *, folds: int, seed: int) -> Record:
    """Return the record with its training rows assigned to folds, unless they are already or `folds` is 0.

    Raises
    ------
    StoreError
        They are assigned to another number of folds.
    DataError
        They cannot be assigned to folds, or the fold column of the data is not valid.
    """
    if not folds or record.has_folds(folds):
        return record
    ids, splits, rare = np.array(record.ids), np.array(record.splits), not record.kind.everywhere
    strata = record.kind.strata(record.values)
    if samples.folds is None:
        groups = None if record.groups is None else np.array(record.groups)
        assigned = assign_folds(
            strata,
            splits,
            groups,
            folds=folds,
            seed=seed,
            class_names=record.class_names,
            rare=rare,
        )
    else:
        assigned = own_folds(samples.folds, ids, strata, splits, _names(samples), record.class_names, rare)
        places = {name: row for row, name in enumerate(record.ids)}
        first = np.array([places[record.copies.get(name, name)] for name in record.ids])
        check_folds(ids, assigned, first)
    return replace(record, folds=assigned.tolist())


def fingerprint(samples: Samples, content: str) -> str:
    """Return the digest of the samples and of their images' `content`."""
    return digest(
        [
            content,
            samples.ids,
            *samples.meaning,
            samples.splits,
            samples.folds,
            samples.groups,
        ]
    )


def check_same(record: Record, samples: Samples, content: str, settings: Settings, store: Store) -> None:
    """Raise StoreError if the samples (without quarantined ones) or the splits differ from the store's."""
    if record.fingerprint != fingerprint(samples, content):
        raise StoreError(
            str(store),
            expected=f"the data set of this store, {record.name} with {len(record.ids)} images",
            got=f"{len(samples.ids)} images with other content or labels",
            todo="Use another --store for other data.",
        )
    for key, what in {**FROZEN, **(FROZEN_OF_MAPS if record.kind.dense else {})}.items():
        before, now = record.source.get(key), getattr(settings, key)
        if before != now:
            raise StoreError(
                f"dataset.{key}",
                expected=f"{before}, as in the first run with this store",
                got=str(now),
                todo=f"Use another --store for another {what}.",
            )


def check_left_out(record: Record, hashes: Mapping[str, str], store: Store) -> None:
    """Raise StoreError if broken images were repaired or replaced; removing them is allowed."""
    changed = [name for name, before in record.left_out.items() if hashes.get(name, before) != before]
    if changed:
        raise StoreError(
            str(store),
            expected=f"the images of {record.name} that were left out as broken to be unchanged",
            got=f"repaired ones: {first_five(changed)}",
            todo="Use another --store to train with them, or remove them to continue without them.",
        )


def _names(samples: Samples) -> NDArray[np.str_] | None:
    """Return the groups; a row without one is a group of its own."""
    if samples.groups is None:
        return None
    if alone := samples.groups.count(""):
        log.info("%d of %d images have no group: each is a group of its own", alone, len(samples.ids))
    return np.array([group or f"\x1f{name}" for group, name in zip(samples.groups, samples.ids, strict=True)])


def _source(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON, with an absolute path, since the current folder may change."""
    path = settings.path
    if path is not None and not is_address(path):
        path = Path(path).expanduser().absolute().as_posix()
    return {**settings.model_dump(mode="json"), "path": path}

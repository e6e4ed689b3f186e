"""The store's one data set, frozen: ids, labels, splits and folds, as the first run found them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import StoreError, UsageError, first_five
from committee.images.copies import check_folds, merge, settle
from committee.images.readers.base import Samples
from committee.images.splits import assign_folds, assign_splits, check_splits, join_val, own_folds
from committee.recipe.dataset import Dataset as Settings
from committee.recipe.section import overlay
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.manifest import digest, read_manifest

FILE = "samples.json"
FROZEN = ("test_size", "val", "val_size")
"""Keys of the recipe that decide the splits, and so cannot change on a store."""


@dataclass(frozen=True)
class Record:
    """What `dataset/samples.json` holds.

    Parameters
    ----------
    name : str
    fingerprint : str
        Digest of all the source said: contents, ids, labels, its own splits, folds and groups.
    content : str
        Digest of the images alone.
    source : dict
        The recipe's `dataset` section, to read it again.
    ids, labels, splits, groups, folds : lists of length N
        `labels` are numbers into `class_names`; folds are -1 outside the training rows.
    class_names : list of str
    own_folds : bool
        Whether the data have a fold column.
    as_read : str
        Digest of all images, the quarantined ones among them: what the cache goes by.
    quarantined : dict
        Sample id -> reason, of the images that could not be used; they are in none of the lists.
    left_out : dict
        Sample id -> SHA-256, of the same images: to see whether they have been repaired.
    copies : dict
        Sample id -> id of the image that it repeats.
    """

    name: str
    fingerprint: str
    content: str
    source: Mapping[str, Any]
    ids: list[str]
    labels: list[int]
    class_names: list[str]
    splits: list[str]
    groups: list[int] | None
    folds: list[int]
    own_folds: bool
    as_read: str = ""
    quarantined: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)

    @property
    def cached_as(self) -> str:
        """What the cache of decoded images goes by."""
        return self.as_read or self.content

    def is_dealt(self, folds: int) -> bool:
        """Return whether the rows are in folds; refuse another number of them than asked for.

        Raises
        ------
        StoreError
            They were dealt to another number of folds, and not by a column of the data.
        """
        dealt = max(self.folds) + 1
        if dealt and not self.own_folds and dealt != folds:
            raise StoreError(
                "training.folds",
                expected=f"{dealt}, as the rows of this store are dealt",
                got=str(folds),
                todo="Use another --store for other folds.",
            )
        return dealt > 0

    def save(self, store: Store) -> None:
        """Put the record in the store, in the place of an earlier one."""
        with (
            store.hold(),
            commit(
                store.dataset_folder(),
                kind="dataset",
                fingerprint=digest(asdict(self)),
                name=self.name,
                rows=len(self.ids),
                classes=len(self.class_names),
                data=self.fingerprint,
            ) as place,
        ):
            (place / FILE).write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")


def load_record(store: Store) -> Record | None:
    """Return the store's record; None where there is no data set yet.

    Raises
    ------
    StoreError
        It is damaged.
    """
    folder = store.dataset_folder()
    if not folder.is_dir():
        return None
    read_manifest(folder)
    try:
        return Record(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (ValueError, TypeError, OSError) as error:
        raise StoreError(str(folder / FILE), expected="the record of a data set", got=str(error)) from error


def recorded_settings(record: Record | None, settings: Settings | None, store: Store) -> Settings:
    """Return where the store's data set came from, with what the recipe says on top.

    Raises
    ------
    UsageError
        The store has none yet.
    """
    if record is None:
        raise UsageError(
            "dataset.path",
            expected="the folder or file of the images",
            got=f"none, and the store {store.root.as_posix()} has none",
            todo="Name it: --set dataset.path=FOLDER",
        )
    source = Settings.model_validate(dict(record.source))
    return source if settings is None else overlay(source, settings)


def first_record(
    samples: Samples,
    content: str,
    prints: NDArray[np.uint64] | None,
    settings: Settings,
    store: Store,
    *,
    folds: int,
    seed: int,
) -> Record:
    """Return the record of a data set that the store sees for the first time; its rows are not in folds yet.

    Parameters
    ----------
    samples : Samples
        Those that can be used.
    content : str
        Digest of their images.
    prints : uint64 `[N, 2]` or None
        What tells copies; None where nothing was decoded.
    settings, store, folds, seed
        As `open_dataset` has them.

    Raises
    ------
    DataError
        The data cannot be split, or two of their splits share content.
    """
    numbers = {name: number for number, name in enumerate(samples.class_names)}
    labels = np.array([numbers[label] for label in samples.labels], dtype=np.int64)
    ids, names = np.array(samples.ids), _names(samples)
    splits = join_val(np.array(samples.splits), val=settings.val, folds=folds)
    first = np.arange(len(ids))
    if prints is not None:
        drop = settings.duplicates == "drop"
        splits, first = settle(ids, np.array(samples.labels), splits, prints, drop=drop, store=store)
    groups = merge(None if names is None else np.unique(names, return_inverse=True)[1], first)
    splits = assign_splits(
        ids,
        labels,
        splits,
        groups,
        test_size=settings.test_size,
        val_size=settings.val_size,
        folds=folds,
        seed=seed,
        class_names=samples.class_names,
    )
    check_splits(samples.class_names, labels, splits, names)
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
    )


def with_folds(record: Record, samples: Samples, *, folds: int, seed: int) -> Record:
    """Return the record with its training rows in folds, if they are asked for and were not dealt before.

    Raises
    ------
    StoreError
        They were dealt to another number of folds.
    DataError
        They cannot be dealt, or the data's own folds cannot be used.
    """
    if not folds or record.is_dealt(folds):
        return record
    ids, labels, splits = np.array(record.ids), np.array(record.labels), np.array(record.splits)
    if samples.folds is None:
        groups = None if record.groups is None else np.array(record.groups)
        dealt = assign_folds(labels, splits, groups, folds=folds, seed=seed, class_names=record.class_names)
    else:
        dealt = own_folds(samples.folds, ids, labels, splits, _names(samples), record.class_names)
        places = {name: row for row, name in enumerate(record.ids)}
        first = np.array([places[record.copies.get(name, name)] for name in record.ids])
        check_folds(ids, dealt, first)
    return replace(record, folds=dealt.tolist())


def fingerprint(samples: Samples, content: str) -> str:
    """Return the digest of all that a source says, and of the images with this `content`."""
    return digest(
        [
            content,
            samples.ids,
            samples.labels,
            samples.class_names,
            samples.splits,
            samples.folds,
            samples.groups,
        ]
    )


def check_same(record: Record, samples: Samples, content: str, settings: Settings, store: Store) -> None:
    """Refuse samples, but for those quarantined, or settings that are not those of the store.

    Raises
    ------
    StoreError
    """
    if record.fingerprint != fingerprint(samples, content):
        raise StoreError(
            store.root.as_posix(),
            expected=f"its own data set, {record.name} of {len(record.ids)} images",
            got=f"{len(samples.ids)} images with other content or labels",
            todo="Use another --store for other data.",
        )
    for key in FROZEN:
        before, now = record.source.get(key), getattr(settings, key)
        if before != now:
            raise StoreError(
                f"dataset.{key}",
                expected=f"{before}, as the rows of this store were split",
                got=str(now),
                todo="Use another --store for another split.",
            )


def check_left_out(record: Record, hashes: Mapping[str, str], store: Store) -> None:
    """Refuse images that were broken and are others now; that they are gone does not matter.

    Raises
    ------
    StoreError
        Some were repaired or replaced.
    """
    changed = [name for name, before in record.left_out.items() if hashes.get(name, before) != before]
    if changed:
        raise StoreError(
            store.root.as_posix(),
            expected=f"the broken images that {record.name} was first read without",
            got=f"repaired ones: {first_five(changed)}",
            todo="Use another --store to train with them, or take them away to go on without them.",
        )


def _names(samples: Samples) -> NDArray[np.str_] | None:
    return None if samples.groups is None else np.array(samples.groups)


def _source(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON; the path absolute, since the next command may run elsewhere."""
    path = settings.path and Path(settings.path).expanduser().absolute().as_posix()
    return {**settings.model_dump(mode="json"), "path": path}

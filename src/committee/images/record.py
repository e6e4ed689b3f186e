"""The store's one data set, frozen: ids, labels, splits and folds, as the first run found them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from committee.errors import StoreError, UsageError
from committee.images.readers._base import Samples
from committee.images.splits import assign_folds, assign_splits, check_splits
from committee.recipe.dataset import Dataset as Settings
from committee.recipe.section import overlay
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.manifest import digest, read_manifest

FILE = "samples.json"
FROZEN = ("test_size", "val")
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
                "training.folds", expected=f"{dealt}, as the rows of this store are dealt", got=str(folds),
                todo="Use another --store for other folds.",
            )  # fmt: skip
        return dealt > 0

    def save(self, store: Store) -> None:
        """Put the record in the store, in the place of an earlier one."""
        with store.hold(), commit(
            store.dataset_folder(), kind="dataset", made_from=digest(asdict(self)), name=self.name,
            rows=len(self.ids), classes=len(self.class_names), fingerprint=self.fingerprint,
        ) as place:  # fmt: skip
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
            "dataset.path", expected="the folder or file of the images",
            got=f"none, and the store {store.root.as_posix()} has none",
            todo="Name it: --set dataset.path=FOLDER",
        )  # fmt: skip
    source = Settings.model_validate(dict(record.source))
    return source if settings is None else overlay(source, settings)


def freeze(
    samples: Samples,
    content: str,
    settings: Settings,
    record: Record | None,
    store: Store,
    *,
    folds: int,
    seed: int,
) -> Record:
    """Return the record of what was read: the store's own, with folds if they are new, or a first one.

    Raises
    ------
    StoreError
        The store has other data, splits or folds.
    DataError
        The data cannot be split or dealt to folds.
    """
    fingerprint = digest([content, samples.ids, samples.labels, samples.class_names, samples.splits,
                          samples.folds, samples.groups])  # fmt: skip
    if record is None:
        record = _first(samples, content, fingerprint, settings, folds, seed)
    _check_same(record, fingerprint, len(samples.ids), settings, store)
    if not folds or record.is_dealt(folds):
        return record
    names = None if samples.groups is None else np.array(samples.groups)
    dealt = assign_folds(
        np.array(record.labels), np.array(record.splits), names, samples.folds,
        folds=folds, seed=seed, class_names=record.class_names,
    )  # fmt: skip
    return replace(record, folds=dealt.tolist())


def _first(
    samples: Samples, content: str, fingerprint: str, settings: Settings, folds: int, seed: int
) -> Record:
    numbers = {name: number for number, name in enumerate(samples.class_names)}
    labels = np.array([numbers[label] for label in samples.labels], dtype=np.int64)
    names = None if samples.groups is None else np.array(samples.groups)
    groups = None if names is None else np.unique(names, return_inverse=True)[1].astype(np.int64)
    splits = assign_splits(
        np.array(samples.ids), labels, np.array(samples.splits), groups,
        test_size=settings.test_size, val=settings.val, folds=folds, seed=seed,
    )  # fmt: skip
    check_splits(samples.class_names, labels, splits, names)
    return Record(
        name=settings.name or Path(settings.path or "").stem, fingerprint=fingerprint, content=content,
        source=_source(settings), ids=samples.ids, labels=labels.tolist(),
        class_names=list(samples.class_names), splits=splits.tolist(),
        groups=None if groups is None else groups.tolist(), folds=[-1] * len(labels),
        own_folds=samples.folds is not None,
    )  # fmt: skip


def _source(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON; the path absolute, since the next command may run elsewhere."""
    path = settings.path and Path(settings.path).expanduser().absolute().as_posix()
    return {**settings.model_dump(mode="json"), "path": path}


def _check_same(record: Record, fingerprint: str, count: int, settings: Settings, store: Store) -> None:
    if record.fingerprint != fingerprint:
        raise StoreError(
            store.root.as_posix(), expected=f"its own data set, {record.name} of {len(record.ids)} images",
            got=f"{count} images with other content or labels", todo="Use another --store for other data.",
        )  # fmt: skip
    for key in FROZEN:
        before, now = record.source[key], getattr(settings, key)
        if before != now:
            raise StoreError(
                f"dataset.{key}", expected=f"{before}, as the rows of this store were split", got=str(now),
                todo="Use another --store for another split.",
            )  # fmt: skip

"""Detection of duplicate images, which stay in the same fold and split."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError
from committee.images.quarantine import write_rows
from committee.store.layout import Store

log = logging.getLogger(__name__)

FILE = "copies.csv"
DROPPED = "dropped"
"""Split of the rows that are left out because another split contains a copy."""
_RANK = {"train": 0, "val": 1, "test": 2}

Rows = NDArray[np.int64]
Texts = NDArray[np.str_]


def first_occurrences(prints: NDArray[np.uint64]) -> Rows:
    """Return for each row the first row with equal content `[N]`."""
    _, first, inverse = np.unique(prints, axis=0, return_index=True, return_inverse=True)
    return first[inverse.reshape(-1)].astype(np.int64)


def merge(groups: Rows | None, first: Rows) -> Rows | None:
    """Merge the groups `[N]` of copies; return None if there are neither groups nor copies."""
    rows = np.flatnonzero(first != np.arange(len(first)))
    if not len(rows):
        return groups
    if groups is None:
        return np.unique(first, return_inverse=True)[1].astype(np.int64)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = int(groups.max()) + 1
    links = coo_array((np.ones(len(rows)), (groups[rows], groups[first[rows]])), shape=(count, count))
    return connected_components(links, directed=False)[1].astype(np.int64)[groups]


def resolve_copies(
    ids: Texts,
    labels: Texts,
    splits: Texts,
    prints: NDArray[np.uint64],
    *,
    drop: bool,
    store: Store,
) -> tuple[Texts, Rows]:
    """Find copies, list them in the store's `copies.csv`, and check that no two splits share content.

    Parameters
    ----------
    ids, labels : str arrays `[N]`
    splits : str array `[N]`
        Splits of the data: "train", "val" or "test".
    prints : uint64 array `[N, 2]`
        Hashes, equal for equal content.
    drop : bool
        Whether to drop rows with a copy in the test split, or, for training rows, in the val split.
    store : Store

    Returns
    -------
    splits : str array `[N]`
        With `DROPPED` for the dropped rows.
    first : int64 array `[N]`
        The first row with equal content, among the rows that are not dropped.

    Raises
    ------
    DataError
        Two splits share content, and `drop` is false.
    """
    first = first_occurrences(prints)
    crossing, same = _kept_copies(splits, first)
    copies = np.flatnonzero(same != np.arange(len(ids)))
    path = store.root / FILE
    if not len(copies):
        path.unlink(missing_ok=True)  # from an earlier attempt
        return splits, first
    with store.hold():
        _write(path, ids, labels, splits, copies, same)
    _warn_of_labels(ids, labels, copies, same)
    dropped = np.flatnonzero(crossing)
    if len(dropped) and not drop:
        raise DataError(
            "duplicate images",
            expected="all copies in one split",
            got=_pairs(ids, splits, dropped, same),
            todo=f"All are listed in {path.as_posix()}: remove them, or drop them from the training split "
            "with dataset.duplicates: drop.",
        )
    _log_counts(len(copies), len(ids), len(dropped), path)
    same[dropped] = dropped
    return np.where(crossing, DROPPED, splits), same


def _log_counts(copies: int, images: int, dropped: int, path: Path) -> None:
    log.info(
        "%d of %d images %s in the same fold (%s)%s",
        copies,
        images,
        "is a copy of another image and stays" if copies == 1 else "are copies of another image and stay",
        path,
        f"; dropped from the training or val split: {dropped}" if dropped else "",
    )


def _kept_copies(splits: Texts, first: Rows) -> tuple[NDArray[np.bool_], Rows]:
    """Return whether a higher split contains a copy of each row, and the first copy in the highest split."""
    rank = np.array([_RANK[split] for split in splits.tolist()])
    highest = np.zeros(len(splits), dtype=np.int64)
    np.maximum.at(highest, first, rank)
    crossing = rank < highest[first]
    keeper = np.arange(len(splits))
    top = np.flatnonzero(~crossing)[::-1]
    keeper[first[top]] = top
    return crossing, keeper[first]


def check_folds(ids: Texts, folds: Rows, first: Rows) -> None:
    """Raise DataError if copies are in different folds of the data's fold column `[N]`."""
    rows = np.flatnonzero(folds != folds[first])
    if len(rows):
        raise DataError(
            "fold column",
            expected="all copies of an image in one fold",
            got=_pairs(ids, np.char.add("fold ", folds.astype(np.str_)), rows, first),
            todo="Correct the column, leave it out, or remove the copies.",
        )


def _write(path: Path, ids: Texts, labels: Texts, splits: Texts, copies: Rows, same: Rows) -> None:
    header = ("id", "split", "label", "same_as", "split_of_same", "label_of_same")
    columns = [column[rows].tolist() for rows in (copies, same[copies]) for column in (ids, splits, labels)]
    write_rows(path, header, list(zip(*columns, strict=True)))


def _warn_of_labels(ids: Texts, labels: Texts, copies: Rows, same: Rows) -> None:
    rows = copies[labels[copies] != labels[same[copies]]]
    if len(rows):
        start = "1 image has" if len(rows) == 1 else f"{len(rows)} images have"
        log.warning("%s a copy with another label: %s", start, _pairs(ids, labels, rows, same))


def _pairs(ids: Texts, what: Texts, rows: Rows, same: Rows) -> str:
    """Return the first five of `rows` with their copies, and the number of further ones."""
    named = [
        f"{str(ids[row])!r} ({what[row]}) = {str(ids[other])!r} ({what[other]})"
        for row, other in zip(rows[:5], same[rows[:5]], strict=True)
    ]
    return ", ".join(named) + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")

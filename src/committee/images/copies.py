"""Images of the same content: found, listed, kept on one side of every split."""

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
"""The split of a row that is left out because another split has its content."""
_RANK = {"train": 0, "val": 1, "test": 2}

Rows = NDArray[np.int64]
Texts = NDArray[np.str_]


def originals(prints: NDArray[np.uint64]) -> Rows:
    """Return the first row `[N]` with the content of each row: itself where nothing comes before it."""
    _, first, inverse = np.unique(prints, axis=0, return_index=True, return_inverse=True)
    return first[inverse.reshape(-1)].astype(np.int64)


def merge(groups: Rows | None, first: Rows) -> Rows | None:
    """Return groups `[N]` that keep copies together, and what was together before; None where nothing is."""
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


def settle(
    ids: Texts,
    labels: Texts,
    splits: Texts,
    prints: NDArray[np.uint64],
    *,
    drop: bool,
    store: Store,
) -> tuple[Texts, Rows]:
    """Find copies, list them in the store's `copies.csv`, and see that no two splits share content.

    Parameters
    ----------
    ids, labels : str arrays `[N]`
    splits : str array `[N]`
        As the data give them: "train", "val" or "test".
    prints : uint64 array `[N, 2]`
        Equal for equal content.
    drop : bool
        Whether a row goes where the test (or, for a training row, val) split has its content.
    store : Store

    Returns
    -------
    splits : str array `[N]`
        With `DROPPED` for the rows that go.
    first : int64 array `[N]`
        The first row with the content of each, among those that stay.

    Raises
    ------
    DataError
        Two splits share content, and `drop` is not set.
    """
    first = originals(prints)
    crossing, same = _keepers(splits, first)
    copies = np.flatnonzero(same != np.arange(len(ids)))
    path = store.root / FILE
    if not len(copies):
        path.unlink(missing_ok=True)  # of an earlier try
        return splits, first
    with store.hold():
        _write(path, ids, labels, splits, copies, same)
    _warn_of_labels(ids, labels, copies, same)
    if crossing.any() and not drop:
        rows = np.flatnonzero(crossing)
        raise DataError(
            "images of the same content",
            expected="each in one split",
            got=_pairs(ids, splits, rows, same),
            todo=f"All are listed in {path.as_posix()}: remove them, or "
            "leave them out of train with dataset.duplicates: drop.",
        )
    gone = int(crossing.sum())
    log.info(
        "%d of %d images %s another one (%s): copies stay together%s",
        len(copies),
        len(ids),
        "repeats" if len(copies) == 1 else "repeat",
        path,
        f", {gone} of them {'was' if gone == 1 else 'were'} dropped" if gone else "",
    )
    same[crossing] = np.flatnonzero(crossing)
    return np.where(crossing, DROPPED, splits), same


def _keepers(splits: Texts, first: Rows) -> tuple[NDArray[np.bool_], Rows]:
    """Return whether a higher split has a row's content, and the first row of the highest that has it."""
    rank = np.array([_RANK[split] for split in splits.tolist()])
    highest = np.zeros(len(splits), dtype=np.int64)
    np.maximum.at(highest, first, rank)
    crossing = rank < highest[first]
    keeper = np.arange(len(splits))
    top = np.flatnonzero(~crossing)[::-1]
    keeper[first[top]] = top
    return crossing, keeper[first]


def check_folds(ids: Texts, folds: Rows, first: Rows) -> None:
    """Refuse folds of the data's own `[N]` that part copies.

    Raises
    ------
    DataError
        Images of the same content are in several folds.
    """
    rows = np.flatnonzero(folds != folds[first])
    if len(rows):
        raise DataError(
            "fold column",
            expected="images of the same content in one fold",
            got=_pairs(ids, np.char.add("fold ", folds.astype(np.str_)), rows, first),
            todo="Correct it, leave it out, or remove the copies.",
        )


def _write(path: Path, ids: Texts, labels: Texts, splits: Texts, copies: Rows, same: Rows) -> None:
    header = ("id", "split", "label", "same_as", "split_of_same", "label_of_same")
    columns = [column[rows].tolist() for rows in (copies, same[copies]) for column in (ids, splits, labels)]
    write_rows(path, header, list(zip(*columns, strict=True)))


def _warn_of_labels(ids: Texts, labels: Texts, copies: Rows, same: Rows) -> None:
    rows = copies[labels[copies] != labels[same[copies]]]
    if len(rows):
        repeat = "1 image repeats" if len(rows) == 1 else f"{len(rows)} images repeat"
        log.warning("%s one of another class: %s", repeat, _pairs(ids, labels, rows, same))


def _pairs(ids: Texts, what: Texts, rows: Rows, same: Rows) -> str:
    """Return the first five of `rows` and what they repeat, and how many more there are."""
    named = [
        f"{str(ids[row])!r} ({what[row]}) = {str(ids[other])!r} ({what[other]})"
        for row, other in zip(rows[:5], same[rows[:5]], strict=True)
    ]
    return ", ".join(named) + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")

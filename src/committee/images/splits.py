"""Which rows train, which stay apart for combiners, which test; all by sample id, so that it can be kept."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from committee.base.folds import check_folds, first_in_group, make_folds
from committee.base.randomness import derive, sample_keys, uniform
from committee.errors import DataError, first_five
from committee.images.copies import DROPPED

Rows = NDArray[np.bool_]


def join_val(splits: NDArray[np.str_], *, val: str, folds: int) -> NDArray[np.str_]:
    """Return the splits `[N]` with val rows in train, where `val` is "join" and there are folds."""
    return np.where(splits == "val", "train", splits) if val == "join" and folds else splits.copy()


def assign_splits(
    sample_ids: NDArray[np.str_],
    labels: NDArray[np.int64],
    splits: NDArray[np.str_],
    groups: NDArray[np.int64] | None,
    *,
    test_size: float,
    folds: int,
    seed: int,
    class_names: Sequence[str],
    val_size: float | None = None,
) -> NDArray[np.str_]:
    """Complete the splits that the data give.

    Parameters
    ----------
    sample_ids, labels, splits, groups : arrays `[N]`
        `splits` as `join_val` left them.
    test_size : float
        Share of the training rows to hold out where there is no test row.
    folds : int
        Number of folds; 0 is no cross-fit. Then a val split is held out where there is none: nothing else is
        left to fit combiners on.
    seed : int
    val_size : float, optional
        Share of the training rows to hold out where there is no val row, before the rest is dealt to folds;
        left out, none with folds, and `test_size` without.

    Returns
    -------
    array of str `[N]`

    Raises
    ------
    DataError
        All rows of a class stay together, so that none can be held out.
    """
    splits = splits.copy()
    lacking = {} if (splits == "test").any() else {"test": test_size}
    if (val_size or not folds) and not (splits == "val").any():
        lacking["val"] = val_size or test_size
    for split, share in lacking.items():
        _check_variety(labels, splits, groups, class_names)
        train = splits == "train"
        splits[hold_out(sample_ids, labels, train, groups, share, derive(seed, split))] = split
    return splits


def hold_out(
    sample_ids: NDArray[np.str_],
    labels: NDArray[np.int64],
    pool: Rows,
    groups: NDArray[np.int64] | None,
    share: float,
    seed: int,
) -> Rows:
    """Return a mask `[N]` of a stratified `share` of the rows in `pool`, groups kept whole.

    Where few rows share a group, a row's place in its class depends on `seed` and the id of the first of its
    group alone: the order in which the rows came does not matter.
    """
    held = np.zeros(len(labels), dtype=bool)
    rows = np.flatnonzero(pool)
    first = np.arange(len(rows)) if groups is None else first_in_group(groups[rows])
    if groups is not None and first is None:
        held[rows[_grouped_parts(labels[rows], groups[rows], share, seed) == 0]] = True
        return held
    lead = rows[first == np.arange(len(rows))]
    order = uniform(seed, sample_keys(sample_ids), 1)[:, 0]
    for label in np.unique(labels[lead]):
        members = lead[labels[lead] == label]
        count = min(len(members) - 1, max(1, round(share * len(members))))
        held[members[np.argsort(order[members], kind="stable")[:count]]] = True
    held[rows] = held[rows[first]]
    return held


def _grouped_parts(
    labels: NDArray[np.int64], groups: NDArray[np.int64], share: float, seed: int
) -> NDArray[np.int64]:
    """Deal rows to parts of about `share`: folds are what balances classes and keeps groups whole."""
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    fewest = int(np.unique(pairs[0], return_counts=True)[1].min())
    return make_folds(labels, max(2, min(round(1 / share), fewest)), groups=groups, seed=seed)


def assign_folds(
    labels: NDArray[np.int64],
    splits: NDArray[np.str_],
    groups: NDArray[np.int64] | None,
    *,
    folds: int,
    seed: int,
    class_names: Sequence[str],
) -> NDArray[np.int64]:
    """Return the fold of each row `[N]`, drawn; -1 outside the training rows.

    Raises
    ------
    DataError
        More folds than the smallest class has rows, or a class with all rows in one group.
    """
    rows = np.flatnonzero(splits == "train")
    within = None if groups is None else groups[rows]
    _check_variety(labels, splits, groups, class_names)
    result = np.full(len(labels), -1, dtype=np.int64)
    drawn = derive(seed, "folds")
    result[rows] = make_folds(labels[rows], folds, groups=within, seed=drawn, class_names=class_names)
    return result


def own_folds(
    own: Sequence[str],
    sample_ids: NDArray[np.str_],
    labels: NDArray[np.int64],
    splits: NDArray[np.str_],
    groups: NDArray[np.str_] | None,
    class_names: Sequence[str],
) -> NDArray[np.int64]:
    """Return the fold of each row `[N]` from a column of the data: 0, 1, ... in the order of its values.

    Raises
    ------
    DataError
        A training row has none, a class has no row outside of a fold, or a group is in two folds.
    """
    rows = np.flatnonzero(splits == "train")
    names = np.array(own)[rows]
    if (names == "").any():
        raise DataError(
            "fold column",
            expected="a fold in each training row",
            got=f"none for {first_five(sample_ids[rows[names == '']])}",
            todo="Complete the column, or leave it out.",
        )
    with contextlib.suppress(ValueError, OverflowError):
        names = names.astype(np.int64)
    result = np.full(len(labels), -1, dtype=np.int64)
    result[rows] = np.unique(names, return_inverse=True)[1]
    check_folds(result[rows], labels[rows], None if groups is None else groups[rows], class_names=class_names)
    return result


def _check_variety(
    labels: NDArray[np.int64],
    splits: NDArray[np.str_],
    groups: NDArray[np.int64] | None,
    class_names: Sequence[str],
) -> None:
    """Refuse a class whose training rows all stay together."""
    if groups is None:
        return
    rows = splits == "train"
    pairs = np.unique(np.stack([labels[rows], groups[rows]]), axis=1)
    counts = np.bincount(pairs[0], minlength=len(class_names))
    alone = [name for name, count in zip(class_names, counts, strict=True) if count == 1]
    if alone:
        raise DataError(
            "groups",
            expected="every class in at least 2 of them, so that one can be held out",
            got=f"{first_five(alone)} in one (images of the same content count as one)",
            todo="Add samples, give splits and folds of your own, or leave the class out.",
        )


def check_splits(
    class_names: Sequence[str],
    labels: NDArray[np.int64],
    splits: NDArray[np.str_],
    groups: NDArray[np.str_] | None,
) -> None:
    """Refuse splits that cannot be learned from, or that leak.

    Raises
    ------
    DataError
        A class has no training row, or a group is on both sides of a split.
    """
    counts = np.bincount(labels[splits == "train"], minlength=len(class_names))
    absent = [name for name, count in zip(class_names, counts, strict=True) if not count]
    if absent:
        raise DataError(
            "training rows",
            expected="rows of every class",
            got=f"none of {first_five(absent)}",
            todo="Add some, or remove the class from val and test.",
        )
    if groups is not None:
        kept = splits != DROPPED
        pairs = np.unique(np.stack([groups[kept], splits[kept]]), axis=1)
        names, counts = np.unique(pairs[0], return_counts=True)
        if (counts > 1).any():
            raise DataError(
                "groups",
                expected="each in one split",
                got=f"{first_five(names[counts > 1])} in several",
                todo="Move the rows of a group to one split.",
            )

"""Which rows train, which stay apart for combiners, which test; all by sample id, so that it can be kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, first_five
from committee.folds import check_folds, make_folds
from committee.randomness import derive, sample_keys, uniform

Rows = NDArray[np.bool_]


def assign_splits(
    sample_ids: NDArray[np.str_],
    labels: NDArray[np.int64],
    splits: NDArray[np.str_],
    groups: NDArray[np.int64] | None,
    *,
    test_size: float,
    val: str,
    folds: int,
    seed: int,
) -> NDArray[np.str_]:
    """Complete the splits that the source gave.

    Parameters
    ----------
    sample_ids, labels, splits, groups : arrays `[N]`
        As read: `splits` holds "train", "val" or "test".
    test_size : float
        Share of the training rows to hold out where there is no test row.
    val : "join" or "apart"
        Whether val rows train. Without folds they never do: nothing else is left to fit combiners on, and a
        val split of the same share is held out where there is none.
    folds : int
        Number of folds; 0 is no cross-fit.
    seed : int

    Returns
    -------
    array of str `[N]`
    """
    splits = splits.copy()
    if not (splits == "test").any():
        train = splits == "train"
        splits[hold_out(sample_ids, labels, train, groups, test_size, derive(seed, "test"))] = "test"
    if val == "join" and folds:
        splits[splits == "val"] = "train"
    if not folds and not (splits == "val").any():
        train = splits == "train"
        splits[hold_out(sample_ids, labels, train, groups, test_size, derive(seed, "val"))] = "val"
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

    Without groups a row's place in its class depends on `seed` and its id alone, so that it does not matter
    in which order the rows came.

    Raises
    ------
    DataError
        All rows of a class are in one group.
    """
    held = np.zeros(len(labels), dtype=bool)
    rows = np.flatnonzero(pool)
    if groups is not None:
        held[rows[_grouped_parts(labels[rows], groups[rows], share, seed) == 0]] = True
        return held
    order = uniform(seed, sample_keys(sample_ids), 1)[:, 0]
    for label in np.unique(labels[rows]):
        members = rows[labels[rows] == label]
        count = min(len(members) - 1, max(1, round(share * len(members))))
        held[members[np.argsort(order[members], kind="stable")[:count]]] = True
    return held


def _grouped_parts(
    labels: NDArray[np.int64], groups: NDArray[np.int64], share: float, seed: int
) -> NDArray[np.int64]:
    """Deal rows to parts of about `share`: folds are what balances classes and keeps groups whole."""
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    fewest = int(np.unique(pairs[0], return_counts=True)[1].min())
    if fewest < 2:
        raise DataError(
            "groups", expected="every class in at least 2 of them, so that one can be held out",
            got="a class in one", todo="Give a split of your own, or remove the class.",
        )  # fmt: skip
    return make_folds(labels, min(max(2, round(1 / share)), fewest), groups=groups, seed=seed)


def assign_folds(
    labels: NDArray[np.int64],
    splits: NDArray[np.str_],
    groups: NDArray[Any] | None,
    own: Sequence[str] | None,
    *,
    folds: int,
    seed: int,
    class_names: Sequence[str],
) -> NDArray[np.int64]:
    """Return the fold of each row `[N]`, -1 outside the training rows and where there is no cross-fit.

    The source's own fold column, where there is one, goes before the number of folds asked for.

    Raises
    ------
    DataError
        More folds than the smallest class has rows, or an own column that cannot be used.
    """
    result = np.full(len(labels), -1, dtype=np.int64)
    if not folds:
        return result
    rows = np.flatnonzero(splits == "train")
    within = None if groups is None else groups[rows]
    if own is None:
        drawn = derive(seed, "folds")
        result[rows] = make_folds(labels[rows], folds, groups=within, seed=drawn, class_names=class_names)
    else:
        result[rows] = _number(np.array(own)[rows])
        check_folds(result[rows], labels[rows], within, class_names=class_names)
    return result


def _number(names: NDArray[np.str_]) -> NDArray[np.int64]:
    """Number a fold column's values 0, 1, ... in their order."""
    if (names == "").any():
        raise DataError(
            "fold column", expected="a fold in each training row",
            got=f"none in {(names == '').sum()} of them",
        )  # fmt: skip
    try:
        return np.unique(names.astype(np.int64), return_inverse=True)[1].astype(np.int64)
    except ValueError:
        return np.unique(names, return_inverse=True)[1].astype(np.int64)


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
            "training rows", expected="rows of every class", got=f"none of {first_five(absent)}",
            todo="Add some, or remove the class from val and test.",
        )  # fmt: skip
    if groups is not None:
        pairs = np.unique(np.stack([groups, splits]), axis=1)
        names, counts = np.unique(pairs[0], return_counts=True)
        if (counts > 1).any():
            raise DataError(
                "groups", expected="each in one split", got=f"{first_five(names[counts > 1])} in several",
                todo="Move the rows of a group to one split.",
            )  # fmt: skip

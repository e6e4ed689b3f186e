"""Assignment of rows to train, val and test splits and to folds."""

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
    """Return the splits `[N]`, with val rows in the training split if `val` is "join" and there are folds."""
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
    rare: bool = False,
) -> NDArray[np.str_]:
    """Hold out the splits that the data does not contain.

    Parameters
    ----------
    sample_ids, labels, splits, groups : arrays `[N]`
        `splits` are those returned by `join_val`.
    test_size : float
        Fraction of the training rows to hold out if there is no test split.
    folds : int
        Number of folds; 0 disables cross-fitting. Then a val split is always held out, since combiners must
        be fitted on rows that members have not seen.
    seed : int
        Seed of the draws.
    class_names : sequence of str
        Names of classes, for error messages.
    val_size : float, optional
        Fraction of the training rows to hold out if there is no val split. By default no rows with folds,
        and `test_size` without.
    rare : bool
        Whether all rows of a class may be in one group, as for strata of numbers.

    Returns
    -------
    array of str `[N]`

    Raises
    ------
    DataError
        All rows of a class are in one group, so that none can be held out.
    """
    splits = splits.copy()
    absent = {} if (splits == "test").any() else {"test": test_size}
    if (val_size or not folds) and not (splits == "val").any():
        absent["val"] = val_size or test_size
    for split, share in absent.items():
        if not rare:
            _check_variety(labels, splits, groups, class_names)
        train = splits == "train"
        drawn = hold_out(sample_ids, labels, train, groups, share, derive(seed, split), rare=rare)
        splits[drawn] = split
    return splits


def hold_out(
    sample_ids: NDArray[np.str_],
    labels: NDArray[np.int64],
    pool: Rows,
    groups: NDArray[np.int64] | None,
    share: float,
    seed: int,
    *,
    rare: bool = False,
) -> Rows:
    """Return a mask `[N]` of a stratified fraction `share` of the rows in `pool`, without splitting groups.

    If few rows share a group, the draw depends only on `seed` and on the id of the first row of each group,
    not on the order of the rows.
    """
    held = np.zeros(len(labels), dtype=bool)
    rows = np.flatnonzero(pool)
    first = np.arange(len(rows)) if groups is None else first_in_group(groups[rows])
    if groups is not None and first is None:
        held[rows[_grouped_parts(labels[rows], groups[rows], share, seed, rare) == 0]] = True
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
    labels: NDArray[np.int64], groups: NDArray[np.int64], share: float, seed: int, rare: bool
) -> NDArray[np.int64]:
    """Assign rows to parts of about `share` with `make_folds`, which balances classes and respects groups."""
    pairs = np.unique(np.stack([labels, groups]), axis=1)
    fewest = len(np.unique(groups)) if rare else int(np.unique(pairs[0], return_counts=True)[1].min())
    return make_folds(labels, max(2, min(round(1 / share), fewest)), groups=groups, seed=seed, rare=rare)


def assign_folds(
    labels: NDArray[np.int64],
    splits: NDArray[np.str_],
    groups: NDArray[np.int64] | None,
    *,
    folds: int,
    seed: int,
    class_names: Sequence[str],
    rare: bool = False,
) -> NDArray[np.int64]:
    """Draw the fold of each row `[N]`; -1 for rows outside the training split.

    Raises
    ------
    DataError
        A class has fewer rows than folds, or all its rows are in one group, unless `rare`.
    """
    rows = np.flatnonzero(splits == "train")
    within = None if groups is None else groups[rows]
    if not rare:
        _check_variety(labels, splits, groups, class_names)
    result = np.full(len(labels), -1, dtype=np.int64)
    drawn = derive(seed, "folds")
    result[rows] = make_folds(
        labels[rows], folds, groups=within, seed=drawn, class_names=class_names, rare=rare
    )
    return result


def own_folds(
    own: Sequence[str],
    sample_ids: NDArray[np.str_],
    labels: NDArray[np.int64],
    splits: NDArray[np.str_],
    groups: NDArray[np.str_] | None,
    class_names: Sequence[str],
    rare: bool = False,
) -> NDArray[np.int64]:
    """Return the fold of each row `[N]` from a column of the data, numbered in the order of its values.

    Raises
    ------
    DataError
        A training row has no fold, all rows of a class are in one fold, or a group is in several folds.
    """
    rows = np.flatnonzero(splits == "train")
    names = np.array(own)[rows]
    if (names == "").any():
        raise DataError(
            "fold column",
            expected="a fold for each training row",
            got=f"none for {first_five(sample_ids[rows[names == '']])}",
            todo="Complete the column, or leave it out.",
        )
    with contextlib.suppress(ValueError, OverflowError):
        names = names.astype(np.int64)
    result = np.full(len(labels), -1, dtype=np.int64)
    result[rows] = np.unique(names, return_inverse=True)[1]
    within = None if groups is None else groups[rows]
    check_folds(result[rows], labels[rows], within, class_names=class_names, rare=rare)
    return result


def _check_variety(
    labels: NDArray[np.int64],
    splits: NDArray[np.str_],
    groups: NDArray[np.int64] | None,
    class_names: Sequence[str],
) -> None:
    """Raise DataError for a class whose training rows are all in one group."""
    if groups is None:
        return
    rows = splits == "train"
    pairs = np.unique(np.stack([labels[rows], groups[rows]]), axis=1)
    counts = np.bincount(pairs[0], minlength=len(class_names))
    alone = [name for name, count in zip(class_names, counts, strict=True) if count == 1]
    if alone:
        raise DataError(
            "groups",
            expected="at least 2 groups in every class, so that one can be held out",
            got=f"1 in {first_five(alone)} (copies of an image are one group)",
            todo="Add samples, provide splits and folds, or leave the class out.",
        )


def check_splits(
    class_names: Sequence[str],
    labels: NDArray[np.int64],
    splits: NDArray[np.str_],
    groups: NDArray[np.str_] | None,
    *,
    rare: bool = False,
) -> None:
    """Raise DataError if a class has no training row, or a group is in several splits."""
    present = np.unique(labels[splits == "train"])
    absent = [name for index, name in enumerate(class_names) if index not in present]
    if absent and not rare:
        raise DataError(
            "training rows",
            expected="rows of every class",
            got=f"none of {first_five(absent)}",
            todo="Add some, or remove the class from the val and test splits.",
        )
    if groups is not None:
        kept = splits != DROPPED
        pairs = np.unique(np.stack([groups[kept], splits[kept]]), axis=1)
        names, counts = np.unique(pairs[0], return_counts=True)
        if (counts > 1).any():
            raise DataError(
                "groups",
                expected="each group in one split",
                got=f"{first_five(names[counts > 1])} in several",
                todo="Move the rows of a group to one split.",
            )

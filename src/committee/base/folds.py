"""Cross-validation folds: drawing, validation and fingerprints."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.errors import DataError, UsageError, first_five

log = logging.getLogger(__name__)

_ADVICE_GROUPS = "Use fewer folds or smaller groups, or correct the fold column."
_ADVICE_COLUMN = "Correct the fold column, or leave it out."
FEW = 0.05
"""If at most this fraction of rows are not the first of their group, only first rows are assigned to folds,
and the others follow. Assigning groups takes 0.1 ms each, and balancing their sizes hardly matters then."""


def make_folds(
    labels: ArrayLike,
    k: int,
    *,
    groups: ArrayLike | None = None,
    seed: int = 0,
    class_names: Sequence[str] | None = None,
    rare: bool = False,
) -> NDArray[np.int64]:
    """Draw stratified folds, in which every class has about the same proportion.

    Parameters
    ----------
    labels : int array [N]
        Class of each row.
    k : int
        Number of folds, at least 2.
    groups : array [N], optional
        Rows of one group stay in one fold.
    seed : int
        Seed of the shuffling.
    class_names : sequence of str, optional
        Names of classes, for error messages.
    rare : bool
        Whether a class may have fewer rows or groups than folds. Its rows are then in as many folds as
        possible, and the other classes are stratified as usual. Otherwise, such a class is refused.

    Returns
    -------
    int64 array [N]
        Fold of each row, 0 to k - 1.

    Raises
    ------
    UsageError
        `k` is less than 2.
    DataError
        There are fewer rows or groups than folds. Unless `rare`: the smallest class has fewer rows than
        folds, or all rows of a class are in the groups of one fold.

    See Also
    --------
    check_folds : Validate given folds.

    Examples
    --------
    >>> from committee.base.folds import make_folds
    >>> sorted(make_folds([0, 0, 1, 1], 2).tolist())
    [0, 0, 1, 1]
    >>> sorted(make_folds([0, 0, 0, 1], 2, rare=True).tolist())
    [0, 0, 1, 1]
    """
    labels = np.asarray(labels)
    if k < 2:
        raise UsageError("folds", expected="at least 2", got=str(k))
    labels = _stratification(labels, k) if rare else _checked_size(labels, k, class_names)
    if groups is None:
        return _split(labels, k, None, seed)
    _, groups = np.unique(_column(groups, "groups", len(labels)), return_inverse=True)
    if k > groups.max() + 1:
        raise DataError(
            "folds",
            expected=f"at most {groups.max() + 1}, the number of groups",
            got=str(k),
            todo="Use fewer folds.",
        )
    folds = _split_groups(labels, k, groups, seed, rare)
    if not rare:
        check_folds(folds, labels, groups, class_names=class_names)
    return folds


def first_in_group(groups: NDArray[Any]) -> NDArray[np.int64] | None:
    """Return the first row of each row's group `[N]` if few rows share a group (see `FEW`), else None."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    return first[group] if len(groups) - len(first) <= FEW * len(groups) else None


def check_folds(
    folds: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    class_names: Sequence[str] | None = None,
    rare: bool = False,
) -> None:
    """Raise DataError for folds that cannot be used for cross-fitting, or that leak.

    Parameters
    ----------
    folds : int array [N]
        Fold of each row.
    labels : int array [N]
        Class of each row.
    groups : array [N], optional
        Group of each row.
    class_names : sequence of str, optional
        Names of classes, for error messages.
    rare : bool
        Whether the rows of a class that has fewer rows or groups than there are folds may all be in one fold.
        The log names such classes.

    Raises
    ------
    DataError
        There are fewer than two folds, a fold is negative, a group is in several folds or, unless `rare`, all
        rows of a class are in one fold.
    """
    labels = np.asarray(labels)
    folds = _column(folds, "folds", len(labels))
    if folds.dtype.kind not in "iu" or (len(folds) and folds.min() < 0):
        raise DataError("folds", expected="whole numbers from 0", got=first_five(_invalid(folds)))
    names, fold = np.unique(folds, return_inverse=True)
    if len(names) < 2:
        raise DataError("folds", expected="at least 2", got=str(len(names)), todo=_ADVICE_COLUMN)
    units = np.arange(len(labels)) if groups is None else _column(groups, "groups", len(labels))
    alone = _in_one_fold(fold, labels)
    refused = [each for each in alone if not rare or len({*units[labels == each].tolist()}) >= len(names)]
    if refused:
        label, where = refused[0], alone[refused[0]]
        raise DataError(
            f"folds: class {_name(label, class_names)}",
            expected="rows in at least 2 folds",
            got=f"all in fold {names[where]}",
            todo=_ADVICE_GROUPS if groups is not None else _ADVICE_COLUMN,
        )
    if groups is not None:
        _check_groups(fold, units)
    if alone:
        log.warning(
            "All rows of %s are in one fold: what is fitted for that fold has not seen the class",
            ", ".join(_name(label, class_names) for label in [*alone][:5]) + ", ..." * (len(alone) > 5),
        )


def _in_one_fold(fold: NDArray[np.int64], labels: NDArray[Any]) -> dict[Any, int]:
    """Return the classes whose rows are all in one fold, with the number of that fold."""
    classes, row_class, counts = np.unique(labels, return_inverse=True, return_counts=True)
    number = int(fold.max(initial=0)) + 1
    table = np.bincount(row_class * number + fold, minlength=len(classes) * number).reshape(-1, number)
    alone = np.flatnonzero(table.max(axis=1, initial=0) == counts).tolist()
    return {classes[which]: int(table[which].argmax()) for which in alone}


def fingerprint(sample_ids: ArrayLike, folds: ArrayLike) -> str:
    """Return the SHA-256 of the assignment of samples to folds, independent of the order of the rows."""
    pairs = zip(np.asarray(sample_ids).tolist(), np.asarray(folds).tolist(), strict=True)
    text = "\n".join(sorted(f"{name}\x1f{fold}" for name, fold in pairs))
    return hashlib.sha256(text.encode()).hexdigest()


def _stratification(labels: NDArray[Any], k: int) -> NDArray[Any]:
    """Return the labels by which folds are stratified: all equal if every class has fewer rows than folds."""
    if len(labels) < k:
        raise DataError("folds", expected=f"at least {k} rows", got=str(len(labels)), todo="Use fewer folds.")
    largest = np.unique(labels, return_counts=True)[1].max()
    return labels if largest >= k else np.zeros(len(labels), np.int64)


def _checked_size(labels: NDArray[Any], k: int, class_names: Sequence[str] | None) -> NDArray[Any]:
    if not len(labels):
        raise DataError("folds", expected="labeled rows", got="none")
    classes, counts = np.unique(labels, return_counts=True)
    smallest = int(counts.argmin())
    if k > counts[smallest]:
        name, has = _name(classes[smallest], class_names), int(counts[smallest])
        others = [_name(one, class_names) for one in classes[counts < k] if one != classes[smallest]]
        rare = 0 < len(others) < len(classes) / 2
        also = f" Other classes with fewer than {k}: {', '.join(others[:5])}." if rare else ""
        raise DataError(
            "folds",
            expected=f"at most {has}, the number of training samples of class {name}",
            got=str(k),
            todo=(f"Use {has} folds, or add samples." if has > 1 else "Add samples, or leave this class out.")
            + also,
        )
    return labels


def _split(labels: NDArray[Any], k: int, groups: NDArray[np.int64] | None, seed: int) -> NDArray[np.int64]:
    seed %= 2**32
    if groups is None:
        return _stratified(labels, k, seed)
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
    folds = np.empty(len(labels), np.int64)
    with warnings.catch_warnings():
        # A class with fewer rows than folds is meant here: `make_folds` refuses it, or is asked to accept it.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, held_out) in enumerate(splitter.split(np.empty((len(labels), 0)), labels, groups)):
            folds[held_out] = fold
    return folds


def _stratified(labels: NDArray[Any], k: int, seed: int) -> NDArray[np.int64]:
    """Return the folds of scikit-learn's StratifiedKFold, whose import takes longer than a small fit.

    Rows sorted by class are dealt to the folds in turn, which decides how many of each class a fold gets;
    within a class, the order is random. Classes count in the order of their first rows.
    """
    _, first, found = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[found]
    dealt = np.arange(len(labels)) % k
    rng, folds = np.random.RandomState(seed), np.empty(len(labels), np.int64)
    of_class = np.sort(rank)
    for number in range(len(first)):
        own = np.sort(dealt[of_class == number])
        rng.shuffle(own)
        folds[rank == number] = own
    return folds


def _split_groups(
    labels: NDArray[Any], k: int, groups: NDArray[np.int64], seed: int, rare: bool
) -> NDArray[np.int64]:
    first = first_in_group(groups)
    if first is None:
        return _split(labels, k, groups, seed)
    lead = first == np.arange(len(labels))
    classes, counts = np.unique(labels[lead], return_counts=True)
    if not rare and (counts.min() < k or len(classes) < len(np.unique(labels))):
        return _split(labels, k, groups, seed)
    folds = np.empty(len(labels), np.int64)
    folds[lead] = _split(_stratification(labels[lead], k), k, None, seed)
    return folds[first]


def _check_groups(fold: NDArray[np.int64], groups: NDArray[Any]) -> None:
    names, group = np.unique(groups, return_inverse=True)
    pairs = np.unique(group * (int(fold.max()) + 1) + fold) // (int(fold.max()) + 1)
    split = names[np.flatnonzero(np.bincount(pairs) > 1)]
    if len(split):
        raise DataError(
            "folds",
            expected="each group in one fold",
            got=f"several for {first_five(split.tolist())}",
            todo=_ADVICE_COLUMN,
        )


def _column(values: ArrayLike, what: str, rows: int) -> NDArray[Any]:
    column = np.asarray(values)
    if column.shape != (rows,):
        raise DataError(what, expected=f"one value per row [{rows}]", got=f"an array {list(column.shape)}")
    return column


def _invalid(folds: NDArray[Any]) -> list[object]:
    listed = folds.tolist()
    return [value for value in listed if not isinstance(value, int) or value < 0]


def _name(label: Any, class_names: Sequence[str] | None) -> str:
    known = class_names and int(label) < len(class_names)
    return f"'{class_names[int(label)] if known and class_names else label}'"

"""What arrays of predictions must be: shapes, finite numbers, unique names, classes that exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.errors import DataError, first_five, nearest

SUM_TOLERANCE = 1e-3


def as_float32(values: ArrayLike, who: str) -> NDArray[np.float32]:
    """Return numbers as float32; an overflow becomes infinite, for `check_finite` to find."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise DataError(who, expected="numbers", got=f"an array of {array.dtype}")
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def check_shape(
    logits: NDArray[np.float32], members: Sequence[str], class_names: Sequence[str], who: str
) -> None:
    """Refuse an array that is not `[M, N, C, ...]` for these names, or names that are not unique."""
    shape = (len(members), len(class_names))
    if logits.ndim < 3 or (logits.shape[0], logits.shape[2]) != shape:
        raise DataError(
            who,
            expected=f"members x samples x classes of {shape[0]} x N x {shape[1]}",
            got=" x ".join(map(str, logits.shape)),
        )
    if logits.shape[1] == 0 or shape[1] < 2:
        raise DataError(who, expected="at least one sample and two classes", got=str(list(logits.shape)))
    check_unique(np.array([str(name) for name in members]), f"{who}: members")
    check_unique(np.array([str(name) for name in class_names]), f"{who}: class names")


def check_unique(names: NDArray[np.str_], who: str) -> None:
    """Refuse names that occur twice."""
    ordered = np.sort(names)
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if len(again):
        raise DataError(who, expected="each name once", got=f"several times {first_five(again)}")


def check_finite(logits: NDArray[np.float32], ids: NDArray[np.str_], who: str) -> None:
    """Refuse NaN and infinity, by sample id."""
    for member in logits:
        # The sum of finite numbers can overflow, so a sum that is not finite only makes us look closer.
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(member.sum(dtype=np.float64)):
                continue
        bad = ~np.isfinite(member).reshape(len(ids), -1).all(axis=1)
        if bad.any():
            raise DataError(
                who,
                expected="finite numbers",
                got=f"NaN or infinity for {first_five(ids[bad])}",
                todo="Clip logarithms of zero, or give probabilities.",
            )


def check_sums(probabilities: NDArray[np.float32], sample_ids: ArrayLike | None, who: str) -> None:
    """Refuse `[M, N, C, ...]` in which a number is negative or NaN, or a row does not sum to 1."""
    for member in probabilities:
        sums = member.sum(axis=1)
        # Written so that NaN counts as wrong.
        wrong = ~(np.abs(sums - 1) <= SUM_TOLERANCE)
        if member.min() < 0:
            wrong |= member.min(axis=1) < 0
        rows = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))
        if len(rows):
            ids = rows if sample_ids is None else np.asarray(sample_ids)[rows]
            row = member[rows[0]]
            fault = f"a sum of {sums[rows[0]].flat[0]:.4g}" if row.min() >= 0 else f"{row.min():.4g}"
            raise DataError(
                who,
                expected="probabilities, not below 0, that sum to 1",
                got=f"{fault} in the first of {len(rows)} rows, {first_five(ids)}",
                todo="Give unnormalized scores as logits.",
            )


def check_labels(labels: ArrayLike | None, rows: int, classes: int, who: str) -> NDArray[np.int64] | None:
    """Return labels as int64 `[N]`; refuse those that are no class index."""
    numbers = whole_numbers(labels, rows, who)
    if numbers is not None and (numbers.min() < 0 or numbers.max() >= classes):
        raise DataError(
            who,
            expected=f"class indices 0 to {classes - 1}",
            got=f"{numbers.min() if numbers.min() < 0 else numbers.max()}",
        )
    return numbers


def whole_numbers(values: ArrayLike | None, rows: int, who: str) -> NDArray[np.int64] | None:
    """Return a column as int64 `[N]`; refuse other types and lengths."""
    if values is None:
        return None
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise DataError(who, expected="whole numbers", got=f"an array of {array.dtype}")
    if array.shape != (rows,):
        raise DataError(who, expected=f"{rows}, one a row", got=f"an array {list(array.shape)}")
    return array.astype(np.int64, copy=False)


def group_numbers(groups: ArrayLike | None, rows: int, who: str) -> NDArray[np.int64] | None:
    """Return groups as int64 `[N]`: numbers as they are, names numbered in their order."""
    if groups is None:
        return None
    array = np.asarray(groups)
    if array.dtype.kind not in "iu" and array.shape == (rows,):
        array = np.unique(array, return_inverse=True)[1]
    return whole_numbers(array, rows, f"{who}: groups")


def class_indices(labels: NDArray[Any], class_names: tuple[str, ...], who: str) -> NDArray[np.int64]:
    """Return class indices: whole numbers as they are, text by class name or else as indices."""
    if labels.dtype.kind not in "iu":
        names, row = np.unique(labels.astype(np.str_), return_inverse=True)
        known = {name: index for index, name in enumerate(class_names)}
        if not any(name in known for name in names) and all(name.isdecimal() for name in names):
            known = {name: int(name) for name in names if int(name) < len(class_names)}
        unknown = [name for name in names.tolist() if name not in known]
        if unknown:
            numbered = class_names == tuple(map(str, range(len(class_names))))
            raise DataError(
                who,
                expected=f"classes among {first_five(class_names)}",
                got=first_five(unknown),
                todo="Name the classes in the predictions." if numbered else nearest(unknown[0], class_names),
            )
        return np.array([known[name] for name in names.tolist()], np.int64)[row]
    checked = check_labels(labels, len(labels), len(class_names), who)
    assert checked is not None
    return checked


def find(among: NDArray[np.str_], wanted: NDArray[np.str_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return where each wanted name is among unique names, and which are missing."""
    if np.array_equal(among, wanted):
        return np.arange(len(wanted)), np.zeros(len(wanted), np.bool_)
    if not len(among):
        return np.zeros(len(wanted), np.int64), np.ones(len(wanted), np.bool_)
    order = np.argsort(among)
    places = order[np.minimum(np.searchsorted(among, wanted, sorter=order), len(among) - 1)]
    return places, among[places] != wanted

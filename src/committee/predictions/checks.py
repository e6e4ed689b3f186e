"""Checks of the arrays that predictions consist of: shapes, finite numbers, unique names, valid classes.

Each function takes `who`, the name of the array or file for its error messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.base.limits import require_some
from committee.errors import DataError, first_five

if TYPE_CHECKING:
    from committee.predictions.target_types import TargetType


def as_float32(values: ArrayLike, who: str) -> NDArray[np.float32]:
    """Return numbers as float32; an overflow becomes infinity, which `check_finite` rejects."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(who, expected="numbers", got="lists of several lengths") from None
    if array.dtype.kind not in "fiu":
        raise DataError(who, expected="numbers", got=f"an array of {array.dtype}")
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def default_names(logits: NDArray[np.float32]) -> tuple[list[str], list[str]]:
    """Return names of the members and of the classes of logits `[N, C]` or `[M, N, C, ...]`: numbers."""
    members, _, classes, *_ = logits.shape if logits.ndim > 2 else (1, *logits.shape, 0, 0)
    return [f"member_{number}" for number in range(1, members + 1)], list(map(str, range(classes)))


def check_shape(
    outputs: NDArray[np.float32], members: Sequence[str], names: Sequence[str], who: str, of: TargetType
) -> None:
    """Raise a DataError unless outputs are `[M, N, C, ...]` for these names, and the names are unique."""
    shape = (len(members), len(names))
    if outputs.ndim < 3 or (outputs.shape[0], outputs.shape[2]) != shape:
        raise DataError(
            who,
            expected=f"an array [{shape[0]}, N, {shape[1]}] of members, samples and {of.outputs}",
            got=str(list(outputs.shape)),
        )
    require_some(who, len(outputs), "member")
    if outputs.shape[1] == 0 or shape[1] < of.least:
        few = f"one {of.output}" if of.least == 1 else f"two {of.outputs}"
        raise DataError(who, expected=f"at least one sample and {few}", got=str(list(outputs.shape)))
    check_unique(np.array([str(name) for name in members]), f"{who}: members")
    check_unique(np.array([str(name) for name in names]), f"{who}: {of.output} names")


def check_unique(names: NDArray[np.str_], who: str) -> None:
    """Raise a DataError if a name occurs more than once."""
    ordered = np.sort(names)
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if len(again):
        raise DataError(who, expected="unique names", got=f"duplicates of {first_five(again)}")


def check_finite(logits: NDArray[np.float32], ids: NDArray[np.str_], who: str) -> None:
    """Raise a DataError that names the samples with NaN or infinite values."""
    for member in logits:
        # The sum of finite numbers can overflow, so only a sum that is not finite calls for a closer look.
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


def check_labels(labels: ArrayLike | None, rows: int, classes: int, who: str) -> NDArray[np.int64] | None:
    """Return labels as int64 `[N]`, or raise a DataError if one is not a class index."""
    numbers = whole_numbers(labels, rows, who)
    if numbers is not None and (numbers.min() < 0 or numbers.max() >= classes):
        raise DataError(
            who,
            expected=f"class indices 0 to {classes - 1}",
            got=f"{numbers.min() if numbers.min() < 0 else numbers.max()}",
        )
    return numbers


def check_seen(seen: ArrayLike | None, shape: tuple[int, ...], who: str) -> NDArray[np.bool_]:
    """Return `seen` as bool `[M, N]`, false everywhere if it is None."""
    array = np.zeros(shape, np.bool_) if seen is None else np.asarray(seen, dtype=np.bool_)
    if array.shape != shape:
        raise DataError(f"{who}: seen", expected=f"an array {list(shape)}", got=str(list(array.shape)))
    return array


def check_variances(variances: ArrayLike, shape: tuple[int, ...], who: str) -> NDArray[np.float32]:
    """Return variances of numbers `[M, N, T]`, or raise a DataError unless they are above zero."""
    array = as_float32(variances, f"{who}: variances")
    array = array.reshape(shape) if array.size == np.prod(shape) else array
    if array.shape != shape:
        raise DataError(f"{who}: variances", expected=f"an array {list(shape)}", got=str(list(array.shape)))
    wrong = int((~(np.isfinite(array) & (array > 0))).sum())
    if wrong:
        raise DataError(
            f"{who}: variances", expected="finite numbers above zero", got=f"{wrong} that are not"
        )
    return array


def whole_numbers(values: ArrayLike | None, rows: int, who: str) -> NDArray[np.int64] | None:
    """Return a column as int64 `[N]`, or raise a DataError if it has another type or length."""
    if values is None:
        return None
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise DataError(who, expected="whole numbers", got=f"an array of {array.dtype}")
    if array.shape != (rows,):
        raise DataError(who, expected=f"{rows} values, one for each row", got=f"an array {list(array.shape)}")
    return array.astype(np.int64, copy=False)


def find(among: NDArray[np.str_], wanted: NDArray[np.str_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the positions of the wanted names among unique names, and a mask of the missing ones."""
    if np.array_equal(among, wanted):
        return np.arange(len(wanted)), np.zeros(len(wanted), np.bool_)
    if not len(among):
        return np.zeros(len(wanted), np.int64), np.ones(len(wanted), np.bool_)
    order = np.argsort(among)
    places = order[np.minimum(np.searchsorted(among, wanted, sorter=order), len(among) - 1)]
    return places, among[places] != wanted

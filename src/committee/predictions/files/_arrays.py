"""Shared code of archives of named arrays: NPZ and safetensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, first_five, nearest
from committee.predictions.files.base import Table
from committee.untrusted.growth import check_text, text_array

VALUES = ("logits", "probs")


def table(arrays: Mapping[str, NDArray[Any]], who: str) -> Table:
    """Return a table from the arrays `ids`, `logits` or `probs`, and optional further ones.

    The optional arrays are `classes`, `labels`, `folds`, `groups` and `seen`.

    Raises
    ------
    DataError
        There are no ids, neither predictions nor labels, or both logits and probabilities, or the shapes do
        not match.
    """
    if "ids" not in arrays:
        raise DataError(
            who,
            expected="an array 'ids'",
            got=f"the arrays {first_five(arrays)}",
            todo=nearest("ids", arrays),
        )
    given = [name for name in VALUES if name in arrays]
    if len(given) > 1 or not (given or "labels" in arrays):
        raise DataError(
            who,
            expected="one of the arrays 'logits' and 'probs'",
            got="both" if given else f"the arrays {first_five(arrays)}",
        )
    values = arrays[given[0]] if given else None
    if values is not None and values.ndim != 2:
        raise DataError(f"{who}: {given[0]}", expected="an array [N, C]", got=str(list(values.shape)))
    for name in {"labels", "folds", "groups", "seen"} & {*arrays}:
        if arrays[name].shape != arrays["ids"].shape:
            raise DataError(
                f"{who}: {name}",
                expected=f"{arrays['ids'].size} values, one for each id",
                got=f"an array {list(arrays[name].shape)}",
            )
    return Table(
        names(arrays["ids"], f"{who}: ids"),
        values,
        is_probability=given == ["probs"],
        classes=names(arrays["classes"], f"{who}: classes") if "classes" in arrays else None,
        labels=arrays.get("labels"),
        folds=arrays.get("folds"),
        groups=arrays.get("groups"),
        seen=truths(arrays["seen"], f"{who}: seen") if "seen" in arrays else None,
    )


def truths(values: NDArray[Any], who: str) -> NDArray[np.bool_]:
    """Return a column of truth values, which may be 0 and 1, or the text true and false.

    Raises
    ------
    DataError
        There are other values.
    """
    known = {"0": False, "false": False, "1": True, "true": True}
    texts = [str(value).lower() for value in values.tolist()]
    wrong = [text for text in texts if text not in known]
    if wrong:
        raise DataError(who, expected="true or false", got=first_five(dict.fromkeys(wrong)))
    return np.array([known[text] for text in texts], np.bool_)


def names(array: NDArray[Any], who: str) -> NDArray[np.str_]:
    """Return an array of names as text; whole numbers are accepted as names.

    Raises
    ------
    DataError
        The array has more than one axis, or other values.
    """
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise DataError(
            who,
            expected="a list of text or whole numbers",
            got=f"an array {list(array.shape)} of {array.dtype}",
        )
    try:
        if array.dtype.kind == "S":
            array = np.char.decode(array, "utf-8")
        return check_text(array).astype(np.str_) if array.dtype.kind == "U" else array.astype(np.str_)
    except ValueError as error:
        raise DataError(who, expected="Unicode text", got="invalid bytes") from error


def names_of(values: Sequence[str | int], who: str) -> NDArray[Any]:
    """Return a list of names or of whole numbers as an array.

    Raises
    ------
    DataError
        A name is far longer than the others, contains NUL or is not valid Unicode, or a number has more than
        64 bits.
    """
    try:
        if all(isinstance(value, int) for value in values):
            return np.array(values, dtype=np.int64)
        return text_array([str(value) for value in values])
    except (ValueError, OverflowError) as error:
        raise DataError(who, expected="a list of names", got=str(error).splitlines()[0]) from error

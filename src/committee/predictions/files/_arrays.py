"""Shared code of archives of named arrays: NPZ and safetensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, first_five, nearest
from committee.predictions.files.base import PredictionFile, Table
from committee.predictions.names import as_text, required
from committee.predictions.target_types import CLASSES, NUMBERS
from committee.untrusted.growth import text_array

VALUES = {"logits": CLASSES, "probs": CLASSES, "values": NUMBERS}
"""The arrays of predictions, and what the labels beside them are."""
KNOWN = ("ids", "classes", "target_names", "labels", "targets", "folds", "groups", "seen", *VALUES)


def table(arrays: Mapping[str, NDArray[Any]], who: str, file: PredictionFile) -> Table:
    """Return a table from the arrays `ids`, `logits`, `probs` or `values`, and optional further ones.

    The optional arrays are `classes`, `labels`, `folds`, `groups` and `seen`, and beside `values`,
    `target_names`, and `targets` in place of `labels`.

    Raises
    ------
    DataError
        There are no ids, neither predictions nor labels, or two arrays of predictions, or the shapes do not
        match.
    """
    ids = next((name for name in (file.id_column, "ids") if name in arrays), None)
    named = (name for name in (file.label_column, "labels", "targets") if name in arrays)
    labels = next(named, None) or "labels"
    if ids is None:
        name = file.id_column or "ids"
        raise DataError(
            who,
            expected=f"an array '{name}'",
            got=f"the arrays {first_five(arrays)}",
            todo=nearest(name, arrays),
        )
    given = [name for name in VALUES if name in arrays]
    further = _further(arrays, arrays[ids].shape, {ids, labels}) if file.labels_only else {}
    if len(given) > 1 or not (given or further or labels in arrays):
        raise DataError(
            who,
            expected="one of the arrays 'logits' and 'probs', or 'values' of numbers",
            got=" and ".join(map(repr, given)) if given else f"the arrays {first_five(arrays)}",
        )
    for name in {labels, "folds", "groups", "seen"} & {*arrays}:
        is_table = name == labels and (labels == "targets" or "values" in given or "target_names" in arrays)
        if arrays[name].shape[: 1 if is_table else None] != arrays[ids].shape:
            raise DataError(
                f"{who}: {name}",
                expected=f"{arrays[ids].size} values, one for each id",
                got=f"an array {list(arrays[name].shape)}",
            )
    return Table(
        required(as_text(arrays[ids], f"{who}: {ids}"), f"{who}: {ids}"),
        _values(arrays[given[0]], f"{who}: {given[0]}", given == ["values"]) if given else None,
        is_probability=given == ["probs"],
        classes=as_text(arrays["classes"], f"{who}: classes") if "classes" in arrays else None,
        target_type=VALUES[given[0]] if given else None,
        columns=tuple(as_text(arrays.get("target_names", ()), f"{who}: target_names").tolist()),
        labels=arrays.get(labels),
        label_column=labels,
        further=further,
        folds=arrays.get("folds"),
        groups=arrays.get("groups"),
        seen=truths(arrays["seen"], f"{who}: seen") if "seen" in arrays else None,
    )


def _further(
    arrays: Mapping[str, NDArray[Any]], shape: tuple[int, ...], without: set[str]
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file of labels that may be true numbers, besides those of known names."""
    known = {*KNOWN, *without}
    return {name: each for name, each in arrays.items() if name not in known and each.shape == shape}


def _values(values: NDArray[Any], who: str, is_number: bool) -> NDArray[Any]:
    """Return scores `[N, C]`, or `[N, 1]` for one score of each row."""
    if values.ndim == 1 and (values.dtype.kind == "f" or is_number):
        return values[:, None]
    if values.ndim != 2:
        raise DataError(who, expected="an array [N, C]", got=str(list(values.shape)))
    return values


def truths(values: NDArray[Any], who: str) -> NDArray[np.bool_]:
    """Return a column of truth values, which may be 0 and 1, or the text true and false.

    Raises
    ------
    DataError
        There are other values.
    """
    known = {"0": False, "false": False, "1": True, "true": True, "0.0": False, "1.0": True}
    texts = [str(value).lower() for value in values.tolist()]
    wrong = [text for text in texts if text not in known]
    if wrong:
        raise DataError(who, expected="true or false", got=first_five(dict.fromkeys(wrong)))
    return np.array([known[text] for text in texts], np.bool_)


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

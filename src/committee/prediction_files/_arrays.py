"""Archives of named arrays: what NPZ and safetensors share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, first_five, nearest
from committee.prediction_files._base import Table

VALUES = ("logits", "probs")


def table(arrays: Mapping[str, NDArray[Any]], who: str) -> Table:
    """Take `ids`, `logits` or `probs`, and where they are there `classes`, `labels`, `folds` and `groups`.

    Raises
    ------
    DataError
        There are no ids, neither predictions nor labels, both kinds of predictions, or odd shapes.
    """
    if "ids" not in arrays:
        raise DataError(who, expected="an array 'ids'", got=f"the arrays {first_five(arrays)}",
                        todo=nearest("ids", arrays))  # fmt: skip
    given = [name for name in VALUES if name in arrays]
    if len(given) > 1 or not (given or "labels" in arrays):
        raise DataError(who, expected="one of the arrays 'logits' and 'probs'",
                        got="both" if given else f"the arrays {first_five(arrays)}")  # fmt: skip
    values = arrays[given[0]] if given else None
    if values is not None and values.ndim != 2:
        raise DataError(f"{who}: {given[0]}", expected="an array [N, C]", got=str(list(values.shape)))
    for name in {"labels", "folds", "groups"} & {*arrays}:
        if arrays[name].shape != arrays["ids"].shape:
            raise DataError(f"{who}: {name}", expected=f"{arrays['ids'].size}, one an id",
                            got=f"an array {list(arrays[name].shape)}")  # fmt: skip
    return Table(
        names(arrays["ids"], f"{who}: ids"), values, is_probability=given == ["probs"],
        classes=names(arrays["classes"], f"{who}: classes") if "classes" in arrays else None,
        labels=arrays.get("labels"), folds=arrays.get("folds"), groups=arrays.get("groups"),
    )  # fmt: skip


def names(array: NDArray[Any], who: str) -> NDArray[np.str_]:
    """Return a list of names as text; whole numbers are names too.

    Raises
    ------
    DataError
        It is no list, or holds other things.
    """
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise DataError(who, expected="a list of text or whole numbers",
                        got=f"an array {list(array.shape)} of {array.dtype}")  # fmt: skip
    return array.astype(np.str_)

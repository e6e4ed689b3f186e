"""Columns that the parts of joined predictions share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, first_five
from committee.predictions.fields import Fields


def common_column(parts: Sequence[Fields], column: str) -> NDArray[Any] | None:
    """Return a column that some aligned parts have, such as `labels`, or None if no part has it.

    Raises
    ------
    DataError
        Two parts have different values in this column.
    """
    having = [part for part in parts if getattr(part, column) is not None]
    if not having:
        return None
    values: NDArray[Any] = getattr(having[0], column)
    for part in having[1:]:
        differs = _differ(values, getattr(part, column), column)
        if differs.any():
            raise DataError(
                f"predictions of {first_five(part.members)}",
                expected=f"the {column} of {first_five(having[0].members)}",
                got=f"different {column} for {first_five(part.sample_ids[differs])}",
            )
    return values


def _differ(first: NDArray[Any], other: NDArray[Any], column: str) -> NDArray[np.bool_]:
    """Return which rows differ; groups are equal if the same rows share them, whatever their numbers are."""
    differs: NDArray[np.bool_] = (first != other).reshape(len(first), -1).any(axis=1)
    if column != "groups" or not differs.any():
        return differs
    pairs = {*zip(first.tolist(), other.tolist(), strict=True)}
    same = len(pairs) == len({*first.tolist()}) == len({*other.tolist()})
    return np.zeros_like(differs) if same else differs

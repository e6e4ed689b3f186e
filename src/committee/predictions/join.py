"""Alignment of predictions by sample id and class name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, first_five
from committee.predictions.checks import find

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


def align(part: Predictions, first: Predictions) -> Predictions:
    """Return `part` with the samples and the classes in the order of `first`.

    Raises
    ------
    DataError
        The two do not have the same samples and classes.
    """
    who, of = f"predictions of {_names(part)}", f"of {_names(first)}"
    places, missing = find(part.sample_ids, first.sample_ids)
    if missing.any() or len(part) != len(first):
        extra = part.sample_ids[find(first.sample_ids, part.sample_ids)[1]]
        lacks = f"none for {first_five(first.sample_ids[missing])}" if missing.any() else ""
        raise DataError(
            who,
            expected=f"the samples {of}",
            got=" and ".join(filter(None, (lacks, f"also {first_five(extra)}" if len(extra) else ""))),
        )
    part = part.with_classes(first.class_names, of=of)
    return part if np.array_equal(part.sample_ids, first.sample_ids) else part.rows(places)


def common_column(parts: Sequence[Predictions], column: str) -> NDArray[np.int64] | None:
    """Return a column that some aligned parts have, such as `labels`, or None if no part has it.

    Raises
    ------
    DataError
        Two parts have different values in this column.
    """
    having = [part for part in parts if getattr(part, column) is not None]
    if not having:
        return None
    values: NDArray[np.int64] = getattr(having[0], column)
    for part in having[1:]:
        differs = values != getattr(part, column)
        if differs.any():
            raise DataError(
                f"predictions of {_names(part)}",
                expected=f"the {column} of {_names(having[0])}",
                got=f"different {column} for {first_five(part.sample_ids[differs])}",
            )
    return values


def _names(part: Predictions) -> str:
    return first_five(part.members)

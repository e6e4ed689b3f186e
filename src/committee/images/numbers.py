"""Shared code of the readers: numbers to predict, from texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError

LISTED = 5


def numbers(
    columns: Mapping[str, Sequence[str]], ids: Sequence[str], who: str, what: str = "column"
) -> NDArray[np.float64]:
    """Return the numbers in columns of texts, float64 `[N, T]`.

    Parameters
    ----------
    columns : mapping of str to sequence of str
        Target -> the text of each row; empty without a value.
    ids : sequence of str, length N
    who, what : str
        File, and what a target is in it, for messages.

    Raises
    ------
    DataError
        A text is not a finite number; the message names rows.
    """
    found = {name: [as_number(cell) for cell in cells] for name, cells in columns.items()}
    for name, values in found.items():
        wrong = [row for row, value in enumerate(values) if value is None or not math.isfinite(value)]
        if wrong:
            cells = columns[name]
            listed = ", ".join(
                f"{repr(cells[row]) if cells[row] else 'nothing'} in row {row + 1} ({ids[row]})"
                for row in wrong[:LISTED]
            )
            more = f" and {len(wrong) - LISTED} more" if len(wrong) > LISTED else ""
            raise DataError(
                f"{who}: {what} '{name}'",
                expected="a finite number in each row",
                got=listed + more,
                todo="Correct or remove these rows.",
            )
    return np.array(list(found.values()), np.float64).T


def as_number(text: str) -> float | None:
    """Return the number in a text, which may be infinite or NaN, or None."""
    try:
        return float(text)
    except ValueError:
        return None

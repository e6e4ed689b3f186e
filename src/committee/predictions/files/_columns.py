"""Shared code of tables with named columns: CSV and Parquet."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, first_five, nearest
from committee.predictions.files._arrays import truths
from committee.predictions.files.base import Table

ID = "id"
KNOWN = ("label", "fold", "group", "seen")


def class_columns(names: Sequence[str]) -> list[str]:
    """Return the columns that are classes: all but `id`, `label`, `fold`, `group` and `seen`.

    Columns `p0`, `p1`, ... are sorted by number. In a file that `committee predict` wrote, the columns
    `prediction` and `prediction_set` after the id, and `model` at the end, are left out too.
    """
    if list(names[1:2]) == ["prediction"] and names[-1] == "model":
        names = [names[0], *names[3 if names[2] == "prediction_set" else 2 : -1]]
    classes = [name for name in names if name not in (ID, *KNOWN)]
    return sorted(classes, key=_number) if are_numbered(classes) else classes


def are_numbered(classes: Sequence[str]) -> bool:
    """Return whether the columns are `p0`, `p1`, ..., which are classes without names."""
    return {*classes} == {f"p{index}" for index in range(len(classes))}


def check_header(names: Sequence[str], who: str) -> None:
    """Raise a DataError if a table has no column `id`, or two columns with the same name."""
    if ID not in names:
        raise DataError(
            who, expected=f"a column '{ID}'", got=f"the columns {first_five(names)}", todo=nearest(ID, names)
        )
    again = sorted(name for name, count in Counter(names).items() if count > 1)
    if again:
        raise DataError(who, expected="unique column names", got=f"duplicates of {first_five(again)}")


def table(
    columns: Mapping[str, NDArray[Any]],
    values: NDArray[np.floating[Any]] | None,
    classes: Sequence[str],
    who: str,
) -> Table:
    """Return a table from its columns of text or numbers and its class columns `[N, C]`."""
    folds = columns.get("fold")
    return Table(
        columns[ID],
        values if len(classes) else None,
        classes=None if are_numbered(classes) else np.array(classes),
        labels=columns.get("label"),
        folds=None if folds is None else _whole(folds, f"{who}: column 'fold'"),
        groups=columns.get("group"),
        seen=truths(columns["seen"], f"{who}: column 'seen'") if "seen" in columns else None,
    )


def _number(name: str) -> int:
    return int(name[1:])


def _whole(values: NDArray[Any], who: str) -> NDArray[np.int64]:
    wrong = [str(value) for value in values.tolist() if not re.fullmatch(r"-?[0-9]{1,18}", str(value))]
    if wrong:
        raise DataError(who, expected="whole numbers", got=first_five(dict.fromkeys(wrong)))
    return values.astype(np.int64)

"""Parquet files of predictions or labels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, require
from committee.predictions.files._columns import read_header, scores_among, table, targets
from committee.predictions.files.base import PredictionFile, Table
from committee.predictions.names import as_text
from committee.predictions.target_types import CLASSES
from committee.untrusted.parquet import read_parquet


class Parquet(PredictionFile):
    """Parquet with the columns of a CSV file; class columns are probabilities. It requires pyarrow.

    See Also
    --------
    Csv : The columns of the table.

    Examples
    --------
    >>> from committee.predictions.files import Parquet
    >>> Parquet.suffixes
    ('.parquet', '.pq')
    """

    suffixes = (".parquet", ".pq")

    def read(self, path: Path) -> Table:
        """Read the table.

        Raises
        ------
        DependencyError
            pyarrow is not installed.
        DataError
            The file is damaged, or its content does not match the format.
        """
        try:
            found = read_parquet(path)
        except ImportError as error:
            raise require("pyarrow", "parquet", str(path)) from error
        except Exception as error:  # a damaged file can raise errors of many kinds
            raise DataError(str(path), expected="a Parquet table", got=_first_line(error)) from error
        names = found.column_names
        header = read_header(names, self, str(path))
        floats = {
            name: found.column(name).to_pylist() for name in header.texts if _is_float(found.column(name))
        }
        header = read_header(names, self, str(path), scores_among(header, self, floats))
        values = np.empty((found.num_rows, len(header.classes)), np.float32)
        for index, name in enumerate(() if self.labels_only else header.classes):
            values[:, index] = _numbers(found.column(name), f"{path}: column '{name}'")
        texts = (header.id, *header.special.values())
        fractions = {header.special.get("label")} if self.target_type is not CLASSES else set()
        columns = {
            name: _cells(found.column(name), f"{path}: column '{name}'", name in fractions) for name in texts
        }
        further = targets(header, self)
        columns |= {name: _cells(found.column(name), f"{path}: column '{name}'", True) for name in further}
        return table(columns, values, header, str(path), further)


def _is_float(column: Any) -> bool:
    return str(column.type) in ("halffloat", "float", "double")


def _cells(column: Any, who: str, may_be_number: bool) -> NDArray[Any]:
    """Return a column of text, or of numbers if it may be a target."""
    if may_be_number and _is_float(column):
        values = column.to_numpy()
        if not np.array_equal(values, np.trunc(values), equal_nan=True):
            return cast("NDArray[Any]", values.astype(np.float64))
    return _names(column, who)


def _numbers(column: Any, who: str) -> NDArray[Any]:
    kind = str(column.type)
    if not re.fullmatch(r"u?int\d+|halffloat|float|double", kind):
        raise DataError(who, expected="numbers", got=str(getattr(column.type, "value_type", kind)))
    with np.errstate(over="ignore"):
        return cast("NDArray[Any]", column.to_numpy()).astype(np.float32)


def _names(column: Any, who: str) -> NDArray[np.str_]:
    kind = str(column.type)
    if not re.fullmatch(
        r"u?int\d+|halffloat|float|double|(large_)?string(_view)?|dictionary<values=(large_)?string.*", kind
    ):
        raise DataError(who, expected="text or whole numbers", got=kind)
    try:
        return as_text(np.array([*column.to_pylist(), None], np.object_)[:-1], who)
    except UnicodeDecodeError as error:
        raise DataError(who, expected="text in UTF-8", got="invalid bytes") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")

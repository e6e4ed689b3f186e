"""Parquet files of predictions or labels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, require
from committee.predictions.files._arrays import names_of
from committee.predictions.files._columns import ID, KNOWN, check_header, class_columns, table
from committee.predictions.files.base import PredictionFile, Table
from committee.untrusted.growth import check_growth


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
            from pyarrow import parquet
        except ImportError as error:
            raise require("pyarrow", "parquet", str(path)) from error
        try:
            with parquet.ParquetFile(path) as file:
                facts = file.metadata
                check_growth(path.stat().st_size, 4 * facts.num_rows * facts.num_columns)
                found = file.read()
        except Exception as error:  # a damaged file can raise errors of many kinds
            raise DataError(str(path), expected="a Parquet table", got=_first_line(error)) from error
        check_header(found.column_names, str(path))
        classes = class_columns(found.column_names)
        values = np.empty((found.num_rows, len(classes)), np.float32)
        for index, name in enumerate(classes):
            values[:, index] = _numbers(found.column(name), f"{path}: column '{name}'")
        texts = [name for name in (ID, *KNOWN) if name in found.column_names]
        columns = {name: _names(found.column(name), f"{path}: column '{name}'") for name in texts}
        return table(columns, values, classes, str(path))


def _numbers(column: Any, who: str) -> NDArray[Any]:
    kind = str(column.type)
    if not re.fullmatch(r"u?int\d+|halffloat|float|double", kind):
        raise DataError(who, expected="numbers", got=kind)
    with np.errstate(over="ignore"):
        return cast("NDArray[Any]", column.to_numpy()).astype(np.float32)


def _names(column: Any, who: str) -> NDArray[Any]:
    kind = str(column.type)
    if not re.fullmatch(r"u?int\d+|(large_)?string(_view)?|dictionary<values=(large_)?string.*", kind):
        raise DataError(who, expected="text or whole numbers", got=kind)
    if column.null_count:
        raise DataError(who, expected="a value in each row", got=f"{column.null_count} missing values")
    try:
        return names_of(column.to_pylist(), who)
    except UnicodeDecodeError as error:
        raise DataError(who, expected="text in UTF-8", got="invalid bytes") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")

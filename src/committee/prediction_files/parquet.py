"""Parquet: `id`, a column a class, and `label`, `fold`, `group` where they are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from committee.errors import DataError, require
from committee.prediction_files._base import PredictionFile, Table
from committee.prediction_files._columns import ID, KNOWN, check_header, class_columns, table


class Parquet(PredictionFile):
    """A Parquet table with the columns of a CSV file; class columns are probabilities."""

    suffixes = (".parquet", ".pq")

    def read(self, path: Path) -> Table:
        """Read the table; needs pyarrow."""
        try:
            from pyarrow import ArrowException, parquet
        except ImportError as error:
            raise require("pyarrow", "parquet", str(path)) from error
        try:
            found = parquet.read_table(path)
        except (ArrowException, OSError) as error:
            raise DataError(str(path), expected="a Parquet table", got=_first_line(error)) from error
        check_header(found.column_names, str(path))
        classes = class_columns(found.column_names)
        values = np.empty((found.num_rows, len(classes)), np.float32)
        for index, name in enumerate(classes):
            column = found.column(name).to_numpy()
            if column.dtype.kind not in "fiu":
                raise DataError(
                    f"{path}: column '{name}'", expected="numbers", got=str(found.column(name).type)
                )
            values[:, index] = column
        columns = {}
        for name in (ID, *KNOWN):
            if name in found.column_names:
                columns[name] = np.array(found.column(name).to_pylist())
        return table(columns, values, classes, str(path))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")

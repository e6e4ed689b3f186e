"""A Parquet table: `path,label`, or `image,label` with the files inside, as data hubs keep them."""

from __future__ import annotations

from pathlib import Path

from committee.errors import DataError, require
from committee.images.readers._table import Row, Table


class Parquet(Table):
    """A Parquet file; paths in it count from its folder, and contents go by their `path` or row number."""

    @classmethod
    def accepts(cls, path: Path) -> bool:
        return path.is_file() and path.suffix.lower() in (".parquet", ".pq")

    def table(self) -> tuple[Path, list[Row]]:
        try:
            from pyarrow import parquet
        except ImportError as error:
            raise require("pyarrow", "parquet", str(self.path)) from error
        try:
            rows = parquet.read_table(self.path).to_pylist()
        except Exception as error:  # a damaged file fails in pyarrow, in Python or in the conversion between
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise DataError(str(self.path), expected="a Parquet table", got=reason) from error
        return self.path, rows

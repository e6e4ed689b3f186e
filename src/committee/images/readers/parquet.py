"""Reader of Parquet files with `path,label`, or `image,label` with the contents of files; or with `mask`."""

from __future__ import annotations

from pathlib import Path

from committee.errors import DataError, require
from committee.images.readers._table import Row, Table
from committee.untrusted.parquet import read_parquet


class Parquet(Table):
    """Reader of a Parquet file of images with labels, or with a column `mask`.

    Paths are relative to the folder of the file and are the sample ids. Images that are contained in the file
    have their `path` or row number as ids.

    Parameters
    ----------
    path : Path
        The Parquet file.
    fold_column, group_column : str, optional
        Names of columns; by default `fold` and `group` if they exist.
    targets : sequence of str, optional
        Columns with the numbers to predict, in place of the label; with masks, names of the numbers of a
        pixel.

    Raises
    ------
    DependencyError
        The optional package pyarrow is not installed (by `read`).

    See Also
    --------
    committee.images.readers.base.Samples : The result of `read`.
    committee.images.source.read : Select a reader and read the samples of a recipe.

    Examples
    --------
    >>> from pathlib import Path
    >>> from committee.images.readers.parquet import Parquet
    >>> Parquet.accepts(Path("labels.csv"))
    False
    """

    detection_order = 4

    @classmethod
    def accepts(cls, path: Path) -> bool:
        return path.is_file() and path.suffix.lower() in (".parquet", ".pq")

    def table(self) -> tuple[Path, list[Row]]:
        try:
            rows = read_parquet(self.path).to_pylist()
        except ImportError as error:
            raise require("pyarrow", "parquet", str(self.path)) from error
        except Exception as error:  # a damaged file may raise errors of pyarrow, Python or the conversion
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise DataError(str(self.path), expected="a Parquet table", got=reason) from error
        return self.path, rows

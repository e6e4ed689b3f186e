"""Reader of CSV files with paths and labels, or masks: `path,label|mask[,fold][,group][,split]`."""

from __future__ import annotations

from pathlib import Path

from committee.images.readers._table import Row, Table, read_csv


class Csv(Table):
    """Reader of a CSV file with paths of images, and their labels or paths of their masks.

    Paths are relative to the folder of the file, and those of images are the sample ids.

    Parameters
    ----------
    path : Path
        The CSV file.
    fold_column, group_column : str, optional
        Names of columns; by default `fold` and `group` if they exist.
    targets : sequence of str, optional
        Columns with the numbers to predict, in place of the label; with masks, names of the numbers of a
        pixel.

    See Also
    --------
    committee.images.readers.base.Samples : The result of `read`.
    committee.images.source.read : Select a reader and read the samples of a recipe.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from committee.images.readers.csv import Csv
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("a.png", "b.png"):
    ...         Path(root, name).touch()
    ...     _ = Path(root, "labels.csv").write_text("path,label\\na.png,cat\\nb.png,dog\\n")
    ...     Csv(Path(root, "labels.csv")).read().labels
    ['cat', 'dog']
    """

    detection_order = 3

    @classmethod
    def accepts(cls, path: Path) -> bool:
        return path.is_file() and path.suffix.lower() == ".csv"

    def table(self) -> tuple[Path, list[Row]]:
        return self.path, read_csv(self.path)

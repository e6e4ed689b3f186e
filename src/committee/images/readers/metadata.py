"""Reader of folders with a `metadata.csv`: `file_name,label[,fold][,group][,split]`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from committee.images.readers._table import Row, Table, read_csv

NAME = "metadata.csv"


class Metadata(Table):
    """Reader of a folder of images with a table of labels, a common format of data hubs.

    Parameters
    ----------
    path : Path
        The folder that contains `metadata.csv`.
    fold_column, group_column : str, optional
        Names of columns; by default `fold` and `group` if they exist.

    See Also
    --------
    committee.images.readers.base.Samples : The result of `read`.
    committee.images.source.read : Select a reader and read the samples of a recipe.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from committee.images.readers.metadata import Metadata
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("a.png", "b.png"):
    ...         Path(root, name).touch()
    ...     _ = Path(root, "metadata.csv").write_text("file_name,label\\na.png,cat\\nb.png,dog\\n")
    ...     Metadata(Path(root)).read().labels
    ['cat', 'dog']
    """

    image_column: ClassVar[str] = "file_name"

    detection_order = 1

    @classmethod
    def accepts(cls, path: Path) -> bool:
        return (path / NAME).is_file()

    def table(self) -> tuple[Path, list[Row]]:
        return self.path / NAME, read_csv(self.path / NAME)

"""A folder with `metadata.csv` beside its images: `file_name,label[,fold][,group][,split]`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from committee.images.readers._table import Row, Table, read_csv

NAME = "metadata.csv"


class Metadata(Table):
    """A folder of images and the table that labels them, as data hubs lay them out."""

    image_column: ClassVar[str] = "file_name"

    @classmethod
    def accepts(cls, path: Path) -> bool:
        return (path / NAME).is_file()

    def table(self) -> tuple[Path, list[Row]]:
        return self.path / NAME, read_csv(self.path / NAME)

"""A CSV table of image files: `path,label[,fold][,group][,split]`."""

from __future__ import annotations

from pathlib import Path

from committee.images.readers._table import Row, Table, read_csv


class Csv(Table):
    """A CSV file; the paths in it count from its folder, and are the sample ids."""

    @classmethod
    def accepts(cls, path: Path) -> bool:
        return path.is_file() and path.suffix.lower() == ".csv"

    def table(self) -> tuple[Path, list[Row]]:
        return self.path, read_csv(self.path)

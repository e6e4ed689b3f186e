"""Shared code of the readers of tables: CSV, metadata.csv and Parquet."""

from __future__ import annotations

import csv
import os
import re
import unicodedata
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from committee.base.csv_cells import texts
from committee.errors import DataError, first_five, nearest
from committee.images.files import Files
from committee.images.mask_classes import NAMES
from committee.images.masks import Masks
from committee.images.numbers import numbers
from committee.images.readers.base import Images, Reader, Samples, sorted_classes, split_name
from committee.predictions.target_types import CLASS_MAPS, CLASSES, NUMBERS, TargetType
from committee.store.remote.downloads import bring_named

Row = Mapping[str, Any]
MASK = "mask"
"""Column of masks, in tables without labels."""
_PLAIN = re.compile(r"[^\\/.:][^\\/:]*(/[^\\/.:][^\\/:]*)*")
"""Names that `Path` does not change, so that none is made of them."""
UNNAMED = "Name the columns of numbers to predict with dataset.targets, or the column of classes 'label'."


def read_csv(path: Path) -> list[Row]:
    """Return the rows of a CSV file with a header.

    Raises
    ------
    DataError
        The file is not UTF-8 text, or a row has another number of fields than the header; the message has
        the line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header, rows = next(reader, []), list[list[str]]()
            for row in filter(None, reader):
                if len(row) != len(header):
                    raise DataError(
                        f"{path}:{reader.line_num}",
                        expected=f"{len(header)} fields",
                        got="more" if len(row) > len(header) else "fewer",
                        todo="Put text that contains commas in quotes.",
                    )
                rows.append(row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(str(path), expected="CSV in UTF-8", got=str(error)) from error
    columns = {key.strip(): texts(cells) for key, cells in zip(header, zip(*rows, strict=True), strict=False)}
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


class Table(Reader):
    """Base class of readers of a table with one image per row, and its label or its mask.

    Parameters
    ----------
    path : Path
        The table, or the folder that contains it.
    fold_column, group_column : str, optional
        Names of columns; by default `fold` and `group` if they exist.
    targets : sequence of str, optional
        Columns with the numbers to predict, in place of the label; with masks, names of the numbers of a
        pixel.
    """

    image_column: ClassVar[str] = "path"

    def __init__(
        self,
        path: Path,
        fold_column: str | None = None,
        group_column: str | None = None,
        targets: Sequence[str] | None = None,
    ) -> None:
        super().__init__(path)
        self.fold_column, self.group_column, self.targets = fold_column, group_column, targets

    @abstractmethod
    def table(self) -> tuple[Path, list[Row]]:
        """Return the path of the table and its rows, as mappings from column to cell."""

    def read(self) -> Samples:
        file, rows = self.table()
        if not rows:
            raise DataError(str(file), expected="rows of labeled images", got="none")
        column = "image" if "image" in rows[0] else self.image_column
        images = _required(rows, file, column, "an image")
        ids, sources = _images(images, file.parent, f"{file}: column '{column}'")
        splits = [split_name(text(row.get("split")), f"{file}: column 'split'") for row in rows]
        masks = self._masks(rows, file)
        labels, names, target_type = (
            self._labels(rows, file, ids)
            if masks is None
            else (np.zeros(len(rows), np.int64), (), CLASS_MAPS)
        )
        return Samples(
            ids,
            sources,
            labels,
            splits,
            names,
            target_type=target_type,
            folds=_own_column(rows, file, self.fold_column, "fold"),
            groups=_own_column(rows, file, self.group_column, "group"),
            masks=masks,
        )

    def _masks(self, rows: Sequence[Row], file: Path) -> Masks | None:
        """Return the masks of a table without labels, or None."""
        columns, targets = rows[0], self.targets or ()
        if MASK not in columns or "label" in columns or any(name in columns for name in targets):
            return None
        cells = _required(rows, file, MASK, "a mask")
        sources = _images(cells, file.parent, f"{file}: column '{MASK}'")[1]
        folders = dict.fromkeys(path.parent for path in sources if isinstance(path, Path))
        places = tuple(dict.fromkeys((*folders, file.parent)))
        for place in places:
            bring_named(place, NAMES)
        return Masks(sources, places, targets=tuple(targets))

    def _labels(
        self, rows: Sequence[Row], file: Path, ids: Sequence[str]
    ) -> tuple[list[str] | NDArray[Any], tuple[str, ...], TargetType]:
        """Return the labels, the names of classes or targets, and what labels are."""
        if self.targets is None:
            labels = _labels(rows, file)
            return labels, sorted_classes(labels), CLASSES
        columns = {name: [text(cell) for cell in _column(rows, file, name)] for name in self.targets}
        return numbers(columns, ids, str(file)), tuple(columns), NUMBERS


def _column(rows: Sequence[Row], file: Path, name: str) -> list[Any]:
    if name not in rows[0]:
        raise DataError(
            str(file),
            expected=f"a column '{name}'",
            got=first_five(rows[0]),
            todo=nearest(name, rows[0]) or (UNNAMED if name == "label" else "Name one of these columns."),
        )
    return [row[name] for row in rows]


def _own_column(rows: Sequence[Row], file: Path, name: str | None, usual: str) -> list[str] | None:
    if name is None and usual not in rows[0]:
        return None
    return [text(cell) for cell in _column(rows, file, name or usual)]


def _labels(rows: Sequence[Row], file: Path) -> list[str]:
    return [text(cell) for cell in _required(rows, file, "label", "a label")]


def _required(rows: Sequence[Row], file: Path, name: str, what: str) -> list[Any]:
    """Return the cells of a column, or raise a DataError if some are missing."""
    cells = _column(rows, file, name)
    empty = [
        number
        for number, cell in enumerate(cells, start=1)
        if not isinstance(cell, Mapping) and not text(cell)
    ]
    if empty:
        raise DataError(
            f"{file}: column '{name}'",
            expected=f"{what} in each row",
            got=f"none in row {', '.join(map(str, empty[:5]))}",
            todo="Label or remove these rows." if name == "label" else "Complete or remove these rows.",
        )
    return cells


def text(value: object) -> str:
    """Return a cell as text, empty if it is blank, None or NaN; whole floats have no decimals."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    found = str(value).strip()
    return "" if found in ("nan", "NaN") else found


def _images(cells: Sequence[Any], root: Path, who: str) -> tuple[list[str], Images]:
    if all(isinstance(cell, Mapping) and isinstance(cell.get("bytes"), bytes) for cell in cells):
        return [str(cell.get("path") or row) for row, cell in enumerate(cells)], [c["bytes"] for c in cells]
    if all(isinstance(cell, bytes) for cell in cells):
        return [str(row) for row in range(len(cells))], list(cells)
    files = Files(root, [_posix(str(cell)) for cell in cells])
    bring_named(root, files.names)
    absent = [name for name in files.names if not os.path.isfile(os.path.join(root, name))]  # noqa: PTH113, PTH118
    if absent:
        todo = _most_similar(root / absent[0]) or "Correct the paths, which are relative to the table."
        raise DataError(
            f"{who}: files that do not exist in {root.as_posix()}: {first_five(absent)}", todo=todo
        )
    return [_relative(name, root) for name in files.names], files


def _posix(name: str) -> str:
    """Return a path as `Path` writes it, with `/`."""
    return name if _PLAIN.fullmatch(name) else Path(name.replace("\\", "/")).as_posix()


def _relative(name: str, root: Path) -> str:
    """Return a path relative to the folder, if it begins with the folder."""
    if root.parts and not name.lower().startswith(root.parts[0].lower().replace("\\", "/")):
        return name  # of most files, and without a `Path`
    path = Path(name)
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _most_similar(path: Path) -> str:
    """Return advice that names the most similar file in the folder of `path`, or an empty string."""
    try:
        names = [other.name for other in path.parent.iterdir()]
    except (OSError, ValueError):
        return ""
    if unicodedata.normalize("NFC", path.name) in (unicodedata.normalize("NFC", name) for name in names):
        return "There is a file with this name in another Unicode form (NFC or NFD): rename it."
    return nearest(path.name, names)

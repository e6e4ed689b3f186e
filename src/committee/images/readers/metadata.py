"""Reader of folders of data hubs: images beside `metadata.csv` or `metadata.jsonl`, also for each split."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, ClassVar

from committee.base.text import count
from committee.errors import DataError, first_five
from committee.images.decode import find_images
from committee.images.readers._table import MASK, Row, Table, read_csv, text
from committee.images.readers.base import is_split

log = logging.getLogger(__name__)

NAMES = ("metadata.csv", "metadata.jsonl")
LABEL = "label"


class Metadata(Table):
    """Reader of a folder of images with a table of labels, a common format of data hubs.

    The table is `metadata.csv` or `metadata.jsonl` (one JSON object per line) with the columns or keys
    `file_name` and `label`, or `mask` (the path of a mask), and optionally `fold`, `group` and `split`. It
    lies in the folder, or in each of the folders `train`, `validation` and `test`, whose images then are that
    split. A split without labels is left out, and so are images that no row names; both are counted and named
    in the log.

    Parameters
    ----------
    path : Path
        The folder that contains the table, or a folder with a table for each split.
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
        return bool(_tables(path))

    def table(self) -> tuple[Path, list[Row]]:
        tables = _tables(self.path)
        if not tables:
            raise DataError(
                str(self.path),
                expected=f"{' or '.join(NAMES)}, in the folder or in train, validation and test",
                got="none",
            )
        rows: list[dict[str, Any]] = []
        for file in tables:
            rows += self._of_split(file)
        if rows:
            _warn_of_unnamed(self.path, tables, rows)
        keys = dict.fromkeys(key for row in rows for key in row)
        where = tables[0] if tables[0].parent == self.path else self.path / tables[0].name
        return where, [{key: row.get(key, "") for key in keys} for row in rows]

    def _of_split(self, file: Path) -> list[dict[str, Any]]:
        """Return the rows of a table, with names of files below the root; none if a split has no labels."""
        rows = [dict(row) for row in (read_csv(file) if file.suffix == ".csv" else _read_lines(file))]
        if file.parent == self.path:
            return rows
        split = file.parent.name
        labels = (*(self.targets or (LABEL,)), MASK)
        if rows and not any(text(row.get(name)) for row in rows for name in labels):
            if split.lower() == "train":
                return rows
            log.warning("%s: left out %s without a label", file.parent, count(len(rows), "image"))
            return []
        for row in rows:
            for column in {self.image_column, MASK} & {self.image_column, *row}:
                row[column] = f"{split}/{row.get(column, '')}"
            row["split"] = text(row.get("split")) or split
        return rows


def _tables(path: Path) -> list[Path]:
    """Return the table in a folder, or those in its folders of splits."""
    if not path.is_dir():
        return []
    own = [path / name for name in NAMES if (path / name).is_file()]
    folders = sorted(folder for folder in path.iterdir() if is_split(folder.name))
    inside = [[folder / name for name in NAMES if (folder / name).is_file()][:1] for folder in folders]
    return own[:1] or [file for files in inside for file in files]


def _read_lines(path: Path) -> list[Row]:
    """Return the rows of a file with one JSON object per line.

    Raises
    ------
    DataError
        A line is not an object of texts and numbers; the message has the line.
    """
    rows: list[Row] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(str(path), expected="JSON lines in UTF-8", got="other bytes") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{number}", expected="a JSON object", got=str(error)) from error
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}", expected="a JSON object", got=type(row).__name__)
        if isinstance(row.get(LABEL), list | dict | bool):
            raise DataError(
                f"{path}:{number}: {LABEL}",
                expected="one class per image, as text or a whole number",
                got=json.dumps(row[LABEL])[:60],
            )
        rows.append(row)
    return rows


def _warn_of_unnamed(root: Path, tables: list[Path], rows: list[dict[str, Any]]) -> None:
    """Log how many images beside the tables no row names, and the first of them."""
    columns = (Metadata.image_column, MASK)
    named = {(root / str(row.get(column, ""))).resolve() for row in rows for column in columns}
    images = [path for table in tables for path in find_images(table.parent).images]
    left_out = [path.relative_to(root).as_posix() for path in images if path.resolve() not in named]
    if left_out:
        log.warning(
            "%s: left out %s that no row of the table names: %s",
            root.as_posix(),
            count(len(left_out), "image"),
            first_five(left_out),
        )

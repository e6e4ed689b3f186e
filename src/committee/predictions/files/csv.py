"""CSV files of predictions or labels."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError
from committee.predictions.files._arrays import names_of
from committee.predictions.files._columns import ID, KNOWN, check_header, class_columns, table
from committee.predictions.files.base import PredictionFile, Table


class Csv(PredictionFile):
    """CSV with a header: a column `id`, a column of probabilities for each class, and optional columns.

    Class columns are `p0`, `p1`, ... or have the names of the classes. The optional columns are `label`,
    `fold`, `group` and `seen`. A file of labels has the columns `id` and `label`, and no class columns.

    See Also
    --------
    Parquet : The same columns in a binary file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from committee.predictions.files import Csv
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "resnet.csv"
    ...     _ = path.write_text("id,cat,dog,label\\nx,0.9,0.1,cat\\ny,0.2,0.8,dog\\n")
    ...     table = Csv().read(path)
    >>> table.ids.tolist(), table.classes.tolist(), table.labels.tolist()
    (['x', 'y'], ['cat', 'dog'], ['cat', 'dog'])
    """

    suffixes = (".csv",)

    def read(self, path: Path) -> Table:
        """Read the header, then the columns of text and those of numbers, in one pass each."""
        who = str(path)
        try:
            header, lines = _header(path)
            check_header(header, who)
            _check_widths(path, len(header))
            texts, classes = [name for name in (ID, *KNOWN) if name in header], class_columns(header)
            columns = _texts(_pick(path, header, lines, texts, np.object_), texts, who)
            values = _pick(path, header, lines, classes, np.float32) if classes else None
        except UnicodeDecodeError as error:
            raise DataError(who, expected="CSV in UTF-8", got="invalid bytes") from error
        except (csv.Error, ValueError, OverflowError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(who, expected="CSV", got=str(error).splitlines()[0].rstrip(".")) from error
        return table(columns, values, classes, who)


def _header(path: Path) -> tuple[list[str], int]:
    """Return the names of the columns, and the number of lines of the header, which may be quoted."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, strict=True)
        header = next(reader, [])
        if not header or not next(file, ""):
            raise DataError(
                str(path),
                expected="a header and rows below it",
                got="a header only" if header else "an empty file",
            )
        return [name.strip() for name in header], reader.line_num


def _check_widths(path: Path, width: int) -> None:
    """Raise a DataError for a row with another number of fields, which the parser of numpy might accept."""
    content = path.read_bytes().rstrip()
    plain = b'"' not in content and b"\n\n" not in content and b"\r\n\r\n" not in content
    if plain and content.count(b",") == (width - 1) * (content.count(b"\n") + 1) and width > 1:
        return
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, strict=True)
        for row in reader:
            if row and len(row) != width:
                raise DataError(
                    f"{path}:{reader.line_num}",
                    expected=f"{width} fields, as in the header",
                    got=str(len(row)),
                    todo="Quote text that contains commas.",
                )


def _texts(cells: NDArray[np.object_], names: Sequence[str], who: str) -> dict[str, NDArray[Any]]:
    columns = zip(names, cells.T.tolist(), strict=True)
    return {
        name: names_of([text.strip() for text in column], f"{who}: column '{name}'")
        for name, column in columns
    }


def _pick(
    path: Path, header: Sequence[str], lines: int, names: Sequence[str], kind: type[np.generic]
) -> NDArray[Any]:
    places = {name: place for place, name in enumerate(header)}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Input line .* contained no data", UserWarning)
            return np.loadtxt(
                path,
                kind,
                delimiter=",",
                skiprows=lines,
                ndmin=2,
                usecols=[places[name] for name in names],
                quotechar='"',
                comments=None,
                encoding="utf-8-sig",
            )
    except ValueError as error:
        if found := re.search(r"string (.*) to \w+ at row (\d+), column (\d+)", str(error)):
            text, row, column = found.groups()
            raise DataError(
                f"{path}: column '{header[int(column) - 1]}'",
                expected="numbers",
                got=f"{text} in row {int(row) + 1}",
            ) from error
        raise

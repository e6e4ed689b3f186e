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

from committee.base.csv_cells import texts
from committee.errors import DataError
from committee.predictions.files._columns import read_header, scores_among, table, targets
from committee.predictions.files.base import PredictionFile, Table
from committee.untrusted.growth import text_array


class Csv(PredictionFile):
    """CSV with a header: a column `id`, a column of probabilities for each class, and optional columns.

    Class columns are `p0`, `p1`, ..., or `prob_0`, `prob_1`, ..., or have the names of the classes. The
    optional columns are `label`, `fold`, `group` and `seen`. A file of labels has the columns `id` and
    `label`, and no class columns. Predictions of numbers have one column of any name, or one for each target;
    their labels have columns of the same names. Without a column `id`, a usual name of ids (`image_id`,
    `filename`, ...) or the unnamed index of pandas is used. A column such as `group` that holds fractions
    from 0 to 1 is a class. A blank cell and NaN are missing values.

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
            names, lines = _header(path)
            header = read_header(names, self, who)
            _check_widths(path, len(names))
            cells = _pick(path, names, lines, header.texts, np.object_).T.tolist()
            found = dict(zip(header.texts, cells, strict=True))
            header = read_header(names, self, who, scores_among(header, self, found))
            further = [name for name in targets(header, self) if name not in found]
            if further:
                cells = _pick(path, names, lines, further, np.object_).T.tolist()
                found.update(zip(further, cells, strict=True))
            columns = {
                name: _plain(found[name], f"{who}: column '{name}'")
                for name in (header.id, *header.special.values(), *targets(header, self))
            }
            wanted = header.classes and not self.labels_only
            values = _scores(path, names, lines, header.classes) if wanted else None
        except UnicodeDecodeError as error:
            raise DataError(who, expected="CSV in UTF-8", got="invalid bytes") from error
        except (csv.Error, ValueError, OverflowError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(who, expected="CSV", got=str(error).splitlines()[0].rstrip(".")) from error
        return table(columns, values, header, who, targets(header, self))


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
        if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
            raise DataError(
                str(path),
                expected="columns separated by commas",
                got=f"'{header[0][:60]}'",
                todo="Save it as CSV.",
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


def _plain(cells: Sequence[str], who: str) -> NDArray[np.str_]:
    """Return cells as text; a blank cell and NaN are empty."""
    try:
        return text_array(texts(cells))
    except ValueError as error:
        raise DataError(who, expected="a list of names", got=str(error)) from error


def _scores(path: Path, header: Sequence[str], lines: int, names: Sequence[str]) -> NDArray[np.floating[Any]]:
    """Return the class columns; cells such as `12.3%` are hundredths."""
    try:
        return _pick(path, header, lines, names, np.float32)
    except DataError as error:
        if "%' in row" not in error.got:
            raise
    cells = np.char.strip(_pick(path, header, lines, names, np.object_).astype(np.str_))
    factor = np.where(np.char.endswith(cells, "%"), 0.01, 1)
    try:
        return np.char.rstrip(cells, "%").astype(np.float64) * factor
    except ValueError as error:
        raise DataError(str(path), expected="numbers and percentages", got=str(error)) from error


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

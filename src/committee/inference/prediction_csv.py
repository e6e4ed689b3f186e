"""A CSV file of predictions that is written row by row, so that an interrupted run can be continued."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from committee.base.csv_cells import line, unescape
from committee.errors import DataError, first_five
from committee.inference.origins import Origins
from committee.store.commit import write_file
from committee.store.outputs import output_text

log = logging.getLogger(__name__)


class PredictionCsv:
    """A CSV file with a row `id,prediction,<class>,...,model` for each image, flushed after every row.

    With prediction sets, the column `prediction_set` follows `prediction`: the classes of the set, joined by
    `|`; a `|` in a class name is written as `\\|`. The prediction is empty where the rule abstains. Rows of
    numbers are `id,<target>,...,model`.

    Parameters
    ----------
    path : Path
        A new file, or one that an earlier run wrote, which is continued: its rows are kept, and an incomplete
        last row is removed.
    columns : sequence of str
        The columns between `id` and `model`, such as those of `Answers.header`.
    model : str
        Name of the model. A file with the predictions of another model is not continued.
    origins : Origins, optional
        What the rows were made from. Rows of images that have changed are removed from the file, to be
        predicted again.

    Attributes
    ----------
    done : set of str
        Ids of the rows that the file already contained, and that are current.
    renewed : set of str
        Ids of the rows that were removed, since their images have changed.

    Raises
    ------
    DataError
        The file has another header, or predictions of another model.

    See Also
    --------
    ids_in : Read the ids alone.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from committee.inference.answers import Answers
    >>> from committee.inference.prediction_csv import PredictionCsv
    >>> rule = Answers(["cat", "dog"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "out.csv"
    ...     with PredictionCsv(path, rule.header(), "vote") as rows:
    ...         rows.write("a.jpg", rule.cells(np.array([0.25, 0.75], np.float32)))
    ...     print(path.read_text(encoding="utf-8"), end="")
    id,prediction,cat,dog,model
    a.jpg,dog,0.25,0.75,vote
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        model: str,
        origins: Origins | None = None,
    ) -> None:
        self.path, self.model, self.origins = path, model, origins
        header = line(["id", *columns, "model"])
        rows = _whole_rows(path, header) if path.exists() else []
        self._check_model({unescape(row[-1]) for row in rows})
        self.done = {unescape(row[0]) for row in rows}
        self.renewed = set[str]() if origins is None else origins.stale(self.done)
        if stale := self.renewed:
            log.warning(
                "%s: predicted again, since the images have changed or nothing says what the rows were made "
                "from: %s",
                path,
                first_five(sorted(stale)),
            )
            cells = ([unescape(cell) for cell in row] for row in rows)
            kept = header + "".join(line(row) for row in cells if row[0] not in stale)
            write_file(path.resolve(), kept.encode())
            self.done -= stale
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8", newline="")
        if self._file.tell() == 0:
            self._file.write(header)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def write(self, name: str, cells: Sequence[str]) -> None:
        """Append the row of an image and flush it; `cells` are those of the columns."""
        if self.origins is not None:
            self.origins.add(name)
        self._file.write(line([name, *cells, self.model]))
        self._file.flush()

    def _check_model(self, found: set[str]) -> None:
        others = found - {self.model}
        if others:
            raise DataError(
                str(self.path),
                expected=f"predictions of {self.model}",
                got=f"those of {min(others)}",
                todo="Give another file, or remove this one.",
            )


def ids_in(path: Path) -> set[str]:
    """Return the ids in a file of predictions; an empty set if the file does not exist."""
    if not path.exists():
        return set()
    with path.open(encoding="utf-8", newline="") as file:
        return {unescape(row[0]) for row in csv.reader(file) if row}


def write_unreadable(path: Path, failed: Mapping[str, str]) -> None:
    """Write `id,reason` of each image that could not be read; only such a list is replaced.

    Raises
    ------
    UsageError
        The file exists, and is no such list.
    """
    header = line(["id", "reason"])
    own = path.is_file() and path.read_text(encoding="utf-8", errors="replace").startswith(header)
    with output_text(path, force=own) as file:
        file.write(header + "".join(map(line, failed.items())))


def _whole_rows(path: Path, header: str) -> list[list[str]]:
    """Return the complete rows of a file, and remove an incomplete last row from it."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    while whole.count(b'"') % 2:  # a line break inside quotes does not end a row
        whole = whole[: whole.rfind(b"\n", 0, -1) + 1]
    text = whole.decode("utf-8", errors="replace")
    cut_header = not whole and header.encode().startswith(content)
    if not text.startswith(header) and not cut_header:
        found = content.decode("utf-8", errors="replace").partition("\n")[0].rstrip("\r")
        raise DataError(
            str(path),
            expected=f"the header '{_short(header.rstrip())}'",
            got=f"'{_short(found)}'",
            todo="Give another file, or remove this one.",
        )
    if whole != content:
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return list(csv.reader(io.StringIO(text.removeprefix(header), newline="")))


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."

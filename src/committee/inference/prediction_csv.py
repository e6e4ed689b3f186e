"""Predictions as a CSV file that grows row by row, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError


class PredictionCsv:
    """Rows `id,prediction,<class>,...,model`, appended and flushed one by one.

    With sets, `prediction_set` follows `prediction`: its classes, joined by `|`, which in a name becomes
    `\\|`. The prediction is empty where the answer was withheld.

    Parameters
    ----------
    path : Path
        A new file, or one that an earlier run wrote: its rows stay, and a row cut short is dropped.
    class_names : sequence of str, length C
    model : str
        Name of the model: a file of another one is not continued.
    with_sets : bool
        Whether rows have a set.

    Attributes
    ----------
    done : set of str
        The ids that the file has already.

    Raises
    ------
    DataError
        The file is something else: its header or its model is another.
    """

    def __init__(self, path: Path, class_names: Sequence[str], model: str, with_sets: bool = False) -> None:
        self.path, self.class_names, self.model = path, tuple(class_names), model
        header = _line(["id", "prediction", *["prediction_set"] * with_sets, *self.class_names, "model"])
        rows = _whole_rows(path, header) if path.exists() else []
        self._check_model({row[-1] for row in rows})
        self.done = {row[0] for row in rows}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8", newline="")
        if self._file.tell() == 0:
            self._file.write(header)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def write(
        self, name: str, best: str | None, members: Sequence[str] | None, probabilities: NDArray[np.float32]
    ) -> None:
        """Append one row; it is with the system when this returns."""
        some = [] if members is None else ["|".join(each.replace("|", "\\|") for each in members)]
        self._file.write(_line([name, best or "", *some, *map(str, probabilities), self.model]))
        self._file.flush()

    def _check_model(self, found: set[str]) -> None:
        others = found - {self.model}
        if others:
            raise DataError(
                str(self.path),
                expected=f"predictions of {self.model}",
                got=f"those of {min(others)}",
                todo="Name another file, or remove this one.",
            )


def ids_in(path: Path) -> set[str]:
    """Return the ids that a file of predictions has already; none where there is no file."""
    if not path.exists():
        return set()
    with path.open(encoding="utf-8", newline="") as file:
        return {row[0] for row in csv.reader(file) if row}


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _whole_rows(path: Path, header: str) -> list[list[str]]:
    """Return the complete rows of a file, and cut off what follows the last of them."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    while whole.count(b'"') % 2:  # the end of a line inside of quotes is no end of a row
        whole = whole[: whole.rfind(b"\n", 0, -1) + 1]
    text = whole.decode("utf-8", errors="replace")
    cut_header = not whole and header.encode().startswith(content)
    if not text.startswith(header) and not cut_header:
        found = content.decode("utf-8", errors="replace").partition("\n")[0].rstrip("\r")
        raise DataError(
            str(path),
            expected=f"the header '{_short(header.rstrip())}'",
            got=f"'{_short(found)}'",
            todo="Name another file, or remove this one.",
        )
    if whole != content:
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return list(csv.reader(io.StringIO(text.removeprefix(header), newline="")))


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."

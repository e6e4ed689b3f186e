"""A prediction file: a line `id class=probability ...` for each sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from committee.errors import DataError
from committee.predictions.files import PredictionFile, Table


class GuestLines(PredictionFile):
    """A line `id class=probability ... true=class` for each sample."""

    suffixes = (".lines",)

    def read(self, path: Path) -> Table:
        """Read the file; see the base class."""
        try:
            rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
            cells = [dict(cell.split("=") for cell in row[1:]) for row in rows]
            labels = [each.pop("true") for each in cells]
            values = np.array([[float(value) for value in each.values()] for each in cells])
            classes = np.array(list(cells[0]))
        except (ValueError, LookupError) as error:
            raise DataError(str(path), expected="lines of 'id class=probability'", got=str(error)) from error
        return Table(
            np.array([row[0] for row in rows]), values=values, classes=classes, labels=np.array(labels)
        )

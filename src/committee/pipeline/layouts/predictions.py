"""Predictions without networks: `oof/<model>.csv`, `predictions/<model>/val.npy` and the like."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from committee.pipeline.importing.files import Files
from committee.pipeline.importing.settings import settings_near
from committee.pipeline.layouts._grouping import grouped
from committee.pipeline.layouts.base import Found, Layout
from committee.predictions.files.npy import IDS, LABELS

_ABOUT_ROWS = re.compile(rf"(\w+?_)?({'|'.join((*IDS, *LABELS))})(_\w+)?", re.IGNORECASE)
"""Names of the files of ids and labels beside arrays."""


class Predictions(Layout):
    """Predictions without networks: tables or arrays named `oof`, `predictions` or the like.

    The files of one model are joined: those of its folds, and those of its splits.

    See Also
    --------
    committee.pipeline.layouts.base.recognize : Ask all layouts.

    Examples
    --------
    >>> from committee.pipeline.layouts.predictions import Predictions
    >>> Predictions.rank
    5
    """

    title = "predictions"
    rank = 5

    def find(self, files: Files) -> Iterator[Found]:
        tables = [path for path in files.predictions() if not _ABOUT_ROWS.fullmatch(path.stem)]
        for name, splits in grouped(files, tables).items():
            first = next(path for paths in splits.values() for path in paths)
            yield Found(
                name,
                "predictions",
                predictions=splits,
                settings=settings_near(first, files.top(first)),
                passed_over=_beside(splits),
            )


def _beside(splits: dict[str, list[Path]]) -> dict[Path, str]:
    """Return the files of ids and labels beside arrays, which belong to them."""
    folders = {path.parent for paths in splits.values() for path in paths if path.suffix == ".npy"}
    return {
        path: "read with the arrays beside it"
        for folder in folders
        for path in folder.iterdir()
        if _ABOUT_ROWS.fullmatch(path.stem)
    }

"""The leaderboard of a run as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from committee.base.csv_cells import line


def leaderboard_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a leaderboard as CSV text, whose columns are all keys of its rows.

    Examples
    --------
    >>> from committee.trackers.shared.table import leaderboard_csv
    >>> print(leaderboard_csv([{"name": "=a", "size_mb": 1.5}, {"name": "b"}]), end="")
    name,size_mb
    '=a,1.5
    b,
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return "".join([line(columns), *(line(row.get(key, "") for key in columns) for row in rows)])

"""How verbs print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from committee.cli._table import table_lines, wrap


def print_json(value: Any) -> None:
    """Print `value` as JSON; numbers that JSON lacks (NaN, infinities) become null."""
    print(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, str | bool | int) or value is None:
        return value
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    return str(value)


def count(number: int, what: str) -> str:
    """Return `1 member`, `2 members`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def two_digits(value: float) -> str:
    """Return a number with two significant digits, all of its zeros written out."""
    return f"{Decimal(f'{value:.2g}'):f}"


def duration(hours: float) -> str:
    """Return `12 seconds`, `3 minutes`, `2.5 hours`."""
    if hours * 3600 <= 59:
        return count(math.ceil(hours * 3600), "second")
    if hours * 60 < 59.5:
        return count(round(hours * 60), "minute")
    return f"{two_digits(hours)} hour{'' if two_digits(hours) == '1' else 's'}"


def print_failed(failed: Mapping[str, str]) -> None:
    """Print what failed and why, a line each: in a table a sentence would widen its column for all."""
    for name, reason in failed.items():
        known = reason.startswith((f"{name}:", f"{name}/"))
        print(f"failed: {reason if known else f'{name}: {reason}'}")


def cell(value: object) -> str:
    """Return a value as a table shows it: numbers with four digits, nothing for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their headings; without rows, print nothing.

    The table is as wide as the terminal, or 80 columns where the output is not a terminal.
    """
    width = shutil.get_terminal_size().columns
    cells = [[cell(value) for value in row] for row in rows]
    if cells:
        heading = [line for part in title.splitlines() for line in wrap(part, width)]
        print(*heading, *table_lines(columns, cells, width), sep="\n")

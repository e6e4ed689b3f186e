"""How verbs print: tables for people, JSON for programs."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.cli._table import table_lines, wrap

if TYPE_CHECKING:
    from committee.pipeline.shared.summary import Summary


LOGGED: set[str] = set()
"""Messages of the log that were written to a terminal."""


def print_json(value: Any) -> None:
    """Print `value` as JSON; numbers that JSON lacks (NaN, infinities) become null."""
    print(_as_json(value))


def put_json(value: Any, wanted: bool | Path) -> bool:
    """Print a value as JSON if that is wanted, or write it to a file; return whether tables are printed too.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    if isinstance(wanted, Path):
        from committee.store.commit import write_file

        write_file(wanted, f"{_as_json(value)}\n".encode())
        return True
    if wanted:
        print_json(value)
    return not wanted


def _as_json(value: Any) -> str:
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)


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


def print_summary(summary: Summary) -> None:
    """Print the tables and sentences of a summary."""
    for block in summary.blocks:
        if isinstance(block, str):
            print_text(block)
        else:
            print_table(block.title, block.columns, block.rows)


def print_failed(failed: Mapping[str, str], word: str = "failed") -> None:
    """Print what failed and why, one line each; a reason that the terminal shows already is not repeated."""
    for name, reason in failed.items():
        known = reason.startswith((f"{name}:", f"{name}/"))
        text = reason if known else f"{name}: {reason}"
        print(f"{word}: {name} (see above)" if text in LOGGED and sys.stdout.isatty() else f"{word}: {text}")


def print_text(text: str) -> None:
    """Print sentences: wrapped between words on a terminal, and as they are elsewhere."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        text = "\n".join(line for part in text.splitlines() for line in wrap(part, width))
    print(text)


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

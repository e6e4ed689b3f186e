"""Print the simulated figures as Markdown tables: `python tables.py FILE.json [NAME ...]`.

FILE is one of `benchmarks/results`. A table is made of the rows with the same question; the part of `work`
after the last comma names the column.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


def cell(row: Row) -> str:
    """Return a figure with its standard error."""
    if row["ours"] is None:
        return row["note"]
    error = 0 if row["low"] is None else (row["high"] - row["low"]) / 2
    digits = {"%": 1, "millinats": 1, "nats": 3}.get(row["unit"], 2)
    text = f"{row['ours']:.{digits}f}"
    return f"{text} ± {error:.{digits}f}" if error else text


def table(rows: Iterable[Row]) -> str:
    """Return the Markdown table of the rows of one question."""
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        line, column = row["work"].rsplit(", ", 1) if ", " in row["work"] else (row["work"], "")
        cells.setdefault(line, {})[column] = cell(row)
    columns = list(dict.fromkeys(column for line in cells.values() for column in line))
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    lines += [[line, *(found.get(column, "") for column in columns)] for line, found in cells.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(file: str, *names: str) -> None:
    """Print the tables of the benchmarks whose names start with `statistics_`, or of those named."""
    known = json.loads(Path(file).read_text(encoding="utf-8"))
    for name in names or [name for name in known if name.startswith("statistics_")]:
        rows = known[name]["rows"]
        for question in dict.fromkeys(row["question"] for row in rows):
            print(f"{name}: {question}\n\n{table(row for row in rows if row['question'] == question)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

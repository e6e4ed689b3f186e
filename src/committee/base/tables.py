"""Tables as CSV, Markdown and HTML, in which no name becomes a formula, markup or a script."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

from committee.base.csv_cells import line
from committee.errors import is_installed, require

MOST = 50
"""Rows of a table in a notebook."""


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV file whose cells no spreadsheet runs as formulas; None is an empty cell.

    Examples
    --------
    >>> from committee.base.tables import to_csv
    >>> to_csv(["name", "MB"], [["=1+1", 2.5], ["a", None]])
    "name,MB\\n'=1+1,2.5\\na,\\n"
    """
    return "".join(line(["" if cell is None else cell for cell in row]) for row in [columns, *rows])


def to_markdown(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of Markdown (GitHub), whose cells are shown as they are.

    Examples
    --------
    >>> from committee.base.tables import to_markdown
    >>> print(to_markdown(["name"], [["a|b"]]))
    | name |
    | --- |
    | a\\|b |
    """
    lines = [columns, ["---"] * len(columns)]
    cells = [[_plain(cell) for cell in line] for line in [columns, *rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in [cells[0], lines[1], *cells[1:]])


def to_html(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> str:
    """Return a table of HTML, with a sentence above it.

    Examples
    --------
    >>> from committee.base.tables import to_html
    >>> to_html(["name"], [["<b>"]])
    '<table><thead><tr><th>name</th></tr></thead><tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>'
    """
    head = "".join(f"<th>{_escaped(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{_escaped(cell)}</td>' for cell in row)}</tr>" for row in rows)
    above = f"<p>{_escaped(title)}</p>" if title else ""
    return f"{above}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def for_notebook(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str) -> str:
    """Return the HTML of the first rows of a table, and how many more there are."""
    more = f"<p>and {len(rows) - MOST} more</p>" if len(rows) > MOST else ""
    return to_html(columns, rows[:MOST], title) + more


def to_frame(columns: Sequence[str], rows: Any, what: str, index: Any = None) -> Any:
    """Return a `pandas.DataFrame`.

    Raises
    ------
    DependencyError
        pandas is not installed. `what` says what becomes a data frame.
    """
    if not is_installed("pandas"):
        raise require("pandas", "pandas", f"{what} as a data frame")
    from pandas import DataFrame

    return DataFrame(rows, index=index, columns=list(columns))


def _escaped(cell: object) -> str:
    return "" if cell is None else html.escape(str(cell))


def _plain(cell: object) -> str:
    """Return a cell on one line, in which Markdown and HTML have no meaning."""
    text = "" if cell is None else " ".join(str(cell).split())
    return re.sub(r"([\\`*_{}\[\]<>#|~&!])", r"\\\1", text)

"""Cells of CSV files that spreadsheets do not run as formulas.

A spreadsheet evaluates a cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return (OWASP, "CSV
Injection"). `escape` puts an apostrophe before such text, and before text that begins with an apostrophe;
`unescape` removes it again, so that every name survives a round trip. So does the name `nan`, which would be
read as a missing value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_ACTIVE = "=+-@\t\r\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}" + (
    "\N{FULLWIDTH COMMERCIAL AT}'"
)
_MISSING = ("nan", "NaN")
_WHOLE = re.compile(r"-?[0-9]+(\.0)?")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


def escape(text: str) -> str:
    """Return text as a cell that no spreadsheet runs; a number, such as -5, stays as it is.

    Examples
    --------
    >>> from committee.base.csv_cells import escape, unescape
    >>> escape("=1+1"), escape("cat"), escape("-5")
    ("'=1+1", 'cat', '-5')
    >>> unescape(escape("=1+1"))
    '=1+1'
    """
    active = text[:1] and text[0] in _ACTIVE and not _NUMBER.fullmatch(text)
    return f"'{text}" if active or text in _MISSING else text


def unescape(cell: str) -> str:
    """Return the text that `escape` wrote; other cells stay as they are."""
    escaped = cell[:1] == "'" and (cell[1:2] in _ACTIVE or cell[1:] in _MISSING) and len(cell) > 1
    return cell[1:] if escaped else cell


def texts(cells: Sequence[str]) -> list[str]:
    """Return a column as text: without spaces around it, `''` for a blank or NaN, unescaped.

    If all are whole numbers and some are written as `7.0`, as pandas does where a value is missing, they
    become `7`.

    Examples
    --------
    >>> from committee.base.csv_cells import texts
    >>> texts([" cat ", "NaN", "'=1+1"]), texts(["7.0", "", "8"]), texts(["7.0", "7.5"])
    (['cat', '', '=1+1'], ['7', '', '8'], ['7.0', '7.5'])
    """
    stripped = [cell.strip() for cell in cells]
    found = ["" if cell in _MISSING else unescape(cell) for cell in stripped]
    if any(text.endswith(".0") for text in found) and all(_WHOLE.fullmatch(text) for text in found if text):
        return [text.removesuffix(".0") for text in found]
    return found


def cell(value: object) -> str:
    """Return a value as an escaped cell, in quotes where it needs them."""
    text = escape(str(value))
    return '"' + text.replace('"', '""') + '"' if re.search(r'[",\r\n]', text) else text


def line(cells: Iterable[object]) -> str:
    """Return one line of a CSV file with escaped and quoted cells."""
    return ",".join(map(cell, cells)) + "\n"

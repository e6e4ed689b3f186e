"""Layout of text tables that fit the terminal: text wraps between words, and nothing is cut."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import zip_longest

_GAP = "  "
_SAMPLE = 200
"""Rows that are measured to compare widths, so that a table of thousands of rows is laid out at once."""
_MIN_PREFIX = 6
_WORD = re.compile(r"\[[-+.,\de ]*\]\S*|\S+")
"""A word, or a numeric interval in brackets, which stays on one line."""

Row = tuple[str, ...]


def table_lines(columns: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> list[str]:
    """Return the lines of a table that is at most `width` characters wide where its words allow that.

    Where the table is too wide, a value that is the same in all rows, or a prefix that all names of a column
    share, is moved into a note above the table, and text wraps between words in the columns where that adds
    the fewest lines. The first column holds names: a name that is longer than the column stands on a line of
    its own, and its row continues below it. Where even that is too wide, each row becomes a block with a line
    for each of its cells.

    Parameters
    ----------
    columns : sequence of str
        The headings.
    rows : iterable of sequences of str
        One cell for each heading.
    width : int
        Characters in a line of the terminal.
    """
    heading, table, notes = tuple(columns), [tuple(row) for row in rows], list[str]()
    if _total(_natural_widths(heading, table)) > width:
        heading, table, notes = _without_repetition(heading, table)
    widths = _fit(heading, table, width)
    if _total(widths) > width and len(heading) > 1:
        return [*notes, *(line for row in table for line in _block(heading, row, width))]
    return [
        *notes,
        *_heading_lines(heading, widths),
        *(line for row in table for line in _lines(row, widths)),
    ]


@functools.lru_cache(maxsize=100_000)
def wrap(text: str, width: int) -> tuple[str, ...]:
    """Return the lines of a text that is broken between words; one that fits stays as it is."""
    if display_width(text) <= width:
        return (text,)
    lines: list[str] = []
    for word in _WORD.findall(text):
        if lines and display_width(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return tuple(lines)


def display_width(text: str) -> int:
    """Return how many columns a text takes on a terminal: East Asian characters take two, accents none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.combining(each) > 0 for each in text)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _natural_widths(heading: Row, table: Sequence[Row]) -> list[int]:
    return [max(map(display_width, column)) for column in zip(heading, *table, strict=True)]


def _without_repetition(heading: Row, table: Sequence[Row]) -> tuple[Row, list[Row], list[str]]:
    """Return the table without what all cells of a column share, and a note about each such column."""
    columns: list[list[str]] = []
    notes = []
    for title, *cells in zip(heading, *table, strict=True):
        prefix = _shared_prefix(cells)
        if columns and len(cells) > 1 and cells[0] and len(set(cells)) == 1:
            notes.append(f"({title} in all rows: {cells[0]})")
            continue
        if len(prefix) >= _MIN_PREFIX:
            notes.append(f"(each {title} begins with {prefix})")
            cells = [cell.removeprefix(prefix) for cell in cells]
        columns.append([title, *cells])
    heading, *rows = zip(*columns, strict=True)
    return heading, rows, notes


def _shared_prefix(cells: Sequence[str]) -> str:
    """Return what several names all begin with, up to a separator; an empty text where they share nothing."""
    if len(cells) < 2 or any(" " in cell for cell in cells):
        return ""
    first, last = min(cells), max(cells)
    same = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first) - 1)
    found = re.match(r".*[^\W\d_].*[/_.-]", first[:same])
    return found[0] if found else ""


def _fit(heading: Row, table: Sequence[Row], width: int) -> list[int]:
    """Return the widths of the columns, narrowed step by step where that adds the fewest lines."""
    widths = [min(width, natural) for natural in _natural_widths(heading, table)]
    columns = list(zip(heading, *table, strict=True))
    least = [_longest_word(columns[0][:1]), *map(_longest_word, columns[1:])]
    sample = table[:_SAMPLE]
    while _total(widths) > width:
        wide = [place for place in range(len(widths)) if widths[place] > least[place]]
        if not wide:
            break
        narrower = {place: [each - (n == place) for n, each in enumerate(widths)] for place in wide}
        heights = {place: sum(_height(row, narrower[place]) for row in sample) for place in wide}
        widths = narrower[min(wide, key=lambda place: (heights[place], -widths[place]))]
    return widths


def _longest_word(texts: Iterable[str]) -> int:
    return max((display_width(word) for text in texts for word in _WORD.findall(text)), default=0)


def _height(row: Row, widths: Sequence[int]) -> int:
    cells = [len(wrap(cell, width)) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return max(cells, default=1) + (display_width(row[0]) > widths[0])


def _heading_lines(heading: Row, widths: Sequence[int]) -> list[str]:
    cells = [wrap(title, width) for title, width in zip(heading, widths, strict=True)]
    height = max(map(len, cells))
    return _joined([("",) * (height - len(cell)) + cell for cell in cells], widths)


def _lines(row: Row, widths: Sequence[int]) -> list[str]:
    cells = [wrap(cell, width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    if display_width(row[0]) <= widths[0] or not any(row[1:]):
        return _joined([(row[0],), *cells], widths)
    return [row[0], *_joined([("",), *cells], widths)]


def _block(heading: Row, row: Row, width: int) -> list[str]:
    """Return a row as a name and, below it, its other cells with their headings, one below the other."""
    margin = max(map(display_width, heading[1:]))
    cells = [(title, cell) for title, cell in zip(heading[1:], row[1:], strict=True) if cell]
    lines = [
        _GAP + line
        for title, cell in cells
        for line in _joined([(title,), wrap(cell, width - margin - 2 * len(_GAP))], (margin, 0))
    ]
    return [row[0], *lines]


def _joined(cells: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    lines = zip_longest(*cells, fillvalue="")
    return [_GAP.join(map(_padded, line, widths)).rstrip() for line in lines]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - display_width(text))

"""Layout of text tables that fit the terminal: text wraps between words, and nothing is cut."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

_GAP = "  "
_SAMPLE = 200
"""Rows that are measured to compare widths, so that a table of thousands of rows is laid out at once."""
_MIN_PREFIX = 6
"""Characters of a shared prefix that is worth a note."""
_WORD = re.compile(r"\[[-+.,\de ]*\]\S*|\S+")
"""A word, or a numeric interval in brackets, which stays on one line."""

Row = tuple[str, ...]


def table_lines(columns: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> list[str]:
    """Return the lines of a table that is at most `width` characters wide where its words allow that.

    If the table is too wide, text wraps between words, in the columns where that adds the fewest lines. The
    first column holds names: a name that is longer than the column stands on a line of its own, and its row
    continues below it. If even that is too wide, each row becomes a block with a line for each of its cells.
    A prefix that all names of a column share, and a value that is the same in all rows, move into a note
    above the table if that saves lines.

    Parameters
    ----------
    columns : sequence of str
        The headings.
    rows : iterable of sequences of str
        One cell for each heading.
    width : int
        Characters in a line of the terminal.
    """
    table = _Table(tuple(columns), [tuple(row) for row in rows])
    if _total(table.natural_widths) <= width:
        return table.lines(width)
    without_prefixes = table.without_prefixes()
    layouts = table, without_prefixes, without_prefixes.without_constants()
    return min((layout.lines(width) for layout in layouts), key=len)


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


@dataclass(frozen=True)
class _Table:
    """Headings and rows, and notes about cells that were shortened."""

    heading: Row
    rows: Sequence[Row]
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> list[Row]:
        """Return the columns, each with its heading first."""
        return list(zip(self.heading, *self.rows, strict=True))

    @property
    def natural_widths(self) -> list[int]:
        """Return the widths of the columns without wrapping."""
        return [max(map(display_width, column)) for column in self.columns]

    def without_prefixes(self) -> _Table:
        """Return the table without the prefixes that all cells of a column share."""
        columns, notes = [], []
        for title, *cells in self.columns:
            prefix = _shared_prefix(cells)
            if prefix:
                notes.append(f"(each {title} begins with {prefix})")
                cells = [cell.removeprefix(prefix) for cell in cells]
            columns.append([title, *cells])
        return self._changed(columns, notes)

    def without_constants(self) -> _Table:
        """Return the table without the columns of text, except the first, that are the same in all rows."""
        first, *others = self.columns
        kept = [column for column in others if not _is_constant(column[1:])]
        notes = [f"({column[0]} in all rows: {column[1]})" for column in others if column not in kept]
        return self._changed([first, *kept], notes)

    def _changed(self, columns: Sequence[Sequence[str]], notes: Sequence[str]) -> _Table:
        heading, *rows = zip(*columns, strict=True)
        return _Table(heading, rows, (*self.notes, *notes))

    def lines(self, width: int) -> list[str]:
        """Return the lines of the table, fitted to a width."""
        widths = self._fitted(width)
        notes = [line for note in self.notes for line in wrap(note, width)]
        if _total(widths) > width and len(widths) > 1:
            return [*notes, *(line for row in self.rows for line in _block(self.heading, row, width))]
        lines = [line for row in self.rows for line in _row_lines(row, widths)]
        return [*notes, *_heading_lines(self.heading, widths), *lines]

    def _fitted(self, width: int) -> list[int]:
        """Return the widths of the columns, narrowed step by step where that adds the fewest lines."""
        widths = [min(width, natural) for natural in self.natural_widths]
        first, *others = self.columns
        least = [_longest_word(first[:1]), *map(_longest_word, others)]
        sample = self.rows[:_SAMPLE]
        while _total(widths) > width:
            wide = [place for place in range(len(widths)) if widths[place] > least[place]]
            if not wide:
                break
            narrower = {place: [each - (n == place) for n, each in enumerate(widths)] for place in wide}
            heights = {place: sum(_height(row, narrower[place]) for row in sample) for place in wide}
            widths = narrower[min(wide, key=lambda place: (heights[place], -widths[place]))]
        return widths


def _is_constant(cells: Sequence[str]) -> bool:
    return len(cells) > 1 and len({*cells}) == 1 and bool(re.fullmatch(r"[^\W\d_][^\d]*", cells[0]))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _shared_prefix(cells: Sequence[str]) -> str:
    """Return what several names all begin with, up to a separator; an empty text if that is short."""
    if len(cells) < 2 or any(" " in cell for cell in cells):
        return ""
    first, last = min(cells), max(cells)
    same = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first) - 1)
    found = re.match(r".*[^\W\d_].*[/_.-]", first[:same])
    return found[0] if found and len(found[0]) >= _MIN_PREFIX else ""


def _longest_word(texts: Iterable[str]) -> int:
    return max((display_width(word) for text in texts for word in _WORD.findall(text)), default=0)


def _height(row: Row, widths: Sequence[int]) -> int:
    """Return the number of lines of a row."""
    cells = [len(wrap(cell, width)) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return max(cells, default=1) + (display_width(row[0]) > widths[0])


def _heading_lines(heading: Row, widths: Sequence[int]) -> list[str]:
    cells = [wrap(title, width) for title, width in zip(heading, widths, strict=True)]
    height = max(map(len, cells))
    return _joined([("",) * (height - len(cell)) + cell for cell in cells], widths)


def _row_lines(row: Row, widths: Sequence[int]) -> list[str]:
    cells = [wrap(cell, width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    if display_width(row[0]) <= widths[0] or not any(row[1:]):
        return _joined([(row[0],), *cells], widths)
    return [row[0], *_joined([("",), *cells], widths)]


def _block(heading: Row, row: Row, width: int) -> list[str]:
    """Return a row as its name and, below it, a line for each other cell, with its heading."""
    margin = max(map(display_width, heading[1:]))
    lines = []
    for title, cell in zip(heading[1:], row[1:], strict=True):
        if cell:
            wrapped = wrap(cell, width - margin - 2 * len(_GAP))
            lines += [_GAP + line for line in _joined([(title,), wrapped], (margin, 0))]
    return [row[0], *lines]


def _joined(cells: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    lines = zip_longest(*cells, fillvalue="")
    return [_GAP.join(map(_padded, line, widths)).rstrip() for line in lines]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - display_width(text))

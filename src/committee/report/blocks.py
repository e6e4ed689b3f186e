"""The parts of which sections of the report consist; the template of the page writes each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from committee.report.bars import Bar
from committee.report.charts.drawing import Spec


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Attributes
    ----------
    text : str
    style : str
        Class of the style sheet: empty, `lead`, `note` or `warning`.

    See Also
    --------
    committee.report.sections.base.ReportSection : Consists of blocks.
    """

    kind: ClassVar[str] = "text"
    text: str
    style: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes
    ----------
    text : str
    sort : float or None
        The number by which the column is sorted, in place of the text.
    bar : Bar or None
        What is drawn beside the text.
    style : str
        Class of the style sheet.
    note : str
        A second line in small type.

    See Also
    --------
    Table : Consists of cells.
    """

    text: str
    sort: float | None = None
    bar: Bar | None = None
    style: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes
    ----------
    columns : sequence of str
    rows : sequence of sequence of Cell, or of anything that has a text
        The first cell of a row is its heading.
    title : str
    note : str
        A sentence below the table.
    filtered : bool
        Whether the rows can be filtered by text.
    marked : sequence of int
        Rows that stand out.
    numbers : sequence of int
        Columns that are aligned to the right.

    See Also
    --------
    Cell : A cell with a bar, or a number to sort by.
    """

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""
    note: str = ""
    filtered: bool = False
    marked: Sequence[int] = ()
    numbers: Sequence[int] = ()

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows, with a cell for each text."""
        return [[each if isinstance(each, Cell) else Cell(str(each)) for each in row] for row in self.rows]


@dataclass(frozen=True)
class Chart:
    """A chart with a title, a legend and a caption.

    Attributes
    ----------
    title : str
    spec : dict or None
        What functions of `report.charts` return: the chart as a specification of Vega-Lite. None where the
        packages that draw charts are not installed: the caption, and tables beside, say the same.
    caption : str
        What the chart shows, in words.
    legend : sequence of (int or None, str)
        Number of the color of each series, and its name. Those who click on a name see this series alone.
    wide : bool
        Whether the chart has the whole width.

    See Also
    --------
    committee.report.charts.lines.lines : Makes a chart of lines.
    """

    kind: ClassVar[str] = "chart"
    title: str
    spec: Spec | None
    caption: str = ""
    legend: Sequence[tuple[int | None, str]] = ()
    wide: bool = False

    @property
    def described(self) -> str:
        """The chart in one text, for screen readers."""
        return f"{self.title}. {self.caption}".strip()


@dataclass(frozen=True)
class Row:
    """Charts beside each other, where the screen is wide enough."""

    kind: ClassVar[str] = "row"
    charts: Sequence[Chart]


@dataclass(frozen=True)
class Card:
    """A sample of a gallery.

    Attributes
    ----------
    name : str
        Id of the sample.
    image : str
        The image, as the address of a file in the page itself; empty if there is none.
    lines : sequence of (str, str)
        Names and values of what is known about it.
    votes : sequence of (str, str)
        What each member predicts.
    panels : sequence of (str, str)
        Titles and addresses of further images beside each other.
    legend : sequence of (str, str)
        Names of colors, and the address of an image of each color.

    See Also
    --------
    Gallery : Consists of cards.
    """

    name: str
    image: str
    lines: Sequence[tuple[str, str]]
    votes: Sequence[tuple[str, str]] = ()
    panels: Sequence[tuple[str, str]] = ()
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Gallery:
    """Samples beside each other.

    Attributes
    ----------
    title : str
    text : str
        Which samples these are.
    cards : sequence of Card
    wide : bool
        Whether the images are as wide as the page.

    See Also
    --------
    Card : One sample.
    """

    kind: ClassVar[str] = "gallery"
    title: str
    text: str
    cards: Sequence[Card]
    wide: bool = False


@dataclass(frozen=True)
class Code:
    """Commands or settings, as they are."""

    kind: ClassVar[str] = "code"
    title: str
    text: str


@dataclass(frozen=True)
class Details:
    """Blocks that are shown when they are asked for."""

    kind: ClassVar[str] = "details"
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


Block = Text | Table | Chart | Row | Gallery | Code | Details

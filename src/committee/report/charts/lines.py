"""Lines, with what is shown when they are pointed at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from committee.report.charts.axes import Axis
from committee.report.charts.drawing import drawn, faded, layered, table
from committee.report.charts.theme import HEIGHT, color

MOST, FEWEST = 960, 24
"""Points of all lines of a chart, and the fewest of one line that has more: more points are not visible."""
DASHES = {"solid": [1, 0], "dashed": [5, 4]}
MARKED, MARKED_WIDTH = 40, 2.0
"""Most points of a line that are drawn, if it has this width; others are only found by pointing at them."""


@dataclass(frozen=True)
class Line:
    """A line through points.

    Attributes
    ----------
    name : str
        Its series, which the legend has.
    xs, ys : float array [N]
        Points that are not finite are left out.
    series : int or None
        Number of its color; None is the color of what is in the background.
    width : float
        In pixels.
    dash : str
        `solid` or `dashed`.
    notes : sequence of str
        A sentence about each point.
    part : str
        Name of this line, where a series has several.

    See Also
    --------
    lines : Draws lines.
    """

    name: str
    xs: ArrayLike
    ys: ArrayLike
    series: int | None = 0
    width: float = 2.0
    dash: str = "solid"
    notes: Sequence[str] = ()
    part: str = ""


@drawn
def lines(found: Sequence[Line], x: Axis, y: Axis) -> Any:
    """Return a chart of lines.

    Parameters
    ----------
    found : sequence of Line
    x, y : Axis

    Returns
    -------
    dict or None
        The specification of Vega-Lite; None where altair is not installed.

    Examples
    --------
    >>> from committee.report.charts.axes import Axis
    >>> from committee.report.charts.lines import Line, lines
    >>> spec = lines([Line("resnet", [0, 1], [0.1, 0.2])], Axis("coverage"), Axis("error"))
    >>> spec["layer"][0]["encoding"]["x"]["title"]
    'coverage'
    """
    return layered(*line_layers(found, x, y), height=HEIGHT)


def line_layers(found: Sequence[Line], x: Axis, y: Axis) -> list[Any]:
    """Return the layers of lines, and of the points that are pointed at."""
    import altair as alt

    rows = [row for place, line in enumerate(found) for row in _rows(line, place, len(found))]
    base = alt.Chart(table(rows)).encode(x=x.x(), y=y.y(), color=series_color(found))
    line = base.mark_line(strokeJoin="round").encode(
        detail="line:N",
        opacity=faded(),
        strokeWidth=alt.StrokeWidth("width:Q", scale=None),
        strokeDash=alt.StrokeDash(
            "dash:N", scale=alt.Scale(domain=[*DASHES], range=[*DASHES.values()]), legend=None
        ),
    )
    names = [name for name in ("part", "note") if any(name in row for row in rows)]
    shown = [alt.Tooltip(f"{name}:N", title=name) for name in ("series", *names)]
    shown += [alt.Tooltip("x:Q", title=x.title), alt.Tooltip("y:Q", title=y.title)]
    point = base.mark_point(filled=True, size=42, stroke="var(--card)", strokeWidth=1)
    return [line, point.encode(tooltip=shown, opacity=faded(hidden="!datum.marked"))]


def series_color(found: Sequence[Line]) -> Any:
    """Return the color of marks with a field `series`."""
    import altair as alt

    colors = {line.name: color(line.series) for line in found}
    return alt.Color("series:N", scale=alt.Scale(domain=[*colors], range=[*colors.values()]), legend=None)


def _rows(line: Line, place: int, count: int) -> list[dict[str, Any]]:
    points = np.column_stack([np.asarray(line.xs, np.float64), np.asarray(line.ys, np.float64)])
    kept = np.flatnonzero(np.isfinite(points).all(axis=1))
    most = max(MOST // count, FEWEST)
    if len(kept) > most:
        kept = kept[np.unique(np.linspace(0, len(kept) - 1, most).round().astype(int))]
    common = {"series": line.name, "line": place, "width": line.width, "dash": line.dash}
    common |= {"part": line.part} if line.part else {}
    marked = line.width >= MARKED_WIDTH and len(kept) <= MARKED
    rows = [{"x": x, "y": y, "marked": marked, **common} for x, y in points[kept].tolist()]
    for row, at in zip(rows, kept.tolist(), strict=True):
        row |= {"note": line.notes[at]} if line.notes else {}
    return rows

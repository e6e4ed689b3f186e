"""Reliability diagrams: the share of correct predictions by confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from committee.metrics.curves import Reliability
from committee.report.charts.axes import Axis
from committee.report.charts.drawing import drawn, layered, table
from committee.report.charts.lines import Line, line_layers
from committee.report.charts.theme import HEIGHT, color

X, Y = Axis("confidence", (0, 1)), Axis("share of correct predictions", (0, 1))


@drawn
def diagram(bins: Reliability, found: Sequence[Line]) -> Any:
    """Return lines in a reliability diagram, above bars with the share of the rows in each bin.

    Parameters
    ----------
    bins : Reliability
        The bars.
    found : sequence of Line
        What `diagram_line` returns.

    Returns
    -------
    dict or None
        The specification of Vega-Lite; None where altair is not installed.
    """
    import altair as alt

    shares = bins.count / max(int(bins.count.sum()), 1)
    rows = [
        {"left": left, "right": right, "share": share}
        for left, right, share in zip(bins.edges[:-1], bins.edges[1:], shares.tolist(), strict=True)
        if share > 0
    ]
    bars = (
        alt.Chart(table(rows))
        .mark_rect(color=color(None), opacity=0.25)
        .encode(
            x=X.x("left"),
            x2="right:Q",
            y=Y.y("share"),
            y2=alt.datum(0),
            tooltip=[alt.Tooltip("share:Q", title="share of the rows", format=".1%")],
        )
    )
    ideal = alt.Chart(table([{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
    ideal = ideal.mark_line(color=color(None), strokeDash=[5, 4]).encode(x=X.x(), y=Y.y())
    return layered(bars, ideal, *line_layers(found, X, Y), height=HEIGHT)


def diagram_line(bins: Reliability, name: str, series: int | None, dash: str = "solid") -> Line:
    """Return the line through the bins that have rows."""
    known = bins.count > 0
    notes = [f"{number} rows" for number in bins.count[known].tolist()]
    return Line(
        name, np.asarray(bins.confidence)[known], np.asarray(bins.accuracy)[known], series, 2.0, dash, notes
    )

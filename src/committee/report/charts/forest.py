"""Forest plots: differences with their intervals, one below the other, around 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from committee.report.charts.drawing import drawn, faded, layered, table
from committee.report.charts.theme import MUTED, color

LINE = 24
"""Height of a difference in pixels."""
SERIES = {"proven": 2, "not proven": None}
"""Colors of differences, and what they say."""


@drawn
def forest(found: Sequence[Mapping[str, Any]], title: str) -> Any:
    """Return a forest plot.

    Parameters
    ----------
    found : sequence of mapping
        The `name`, `value`, `low` and `high` of each difference, and `series`, a key of `SERIES`.
    title : str
        What differs.

    Returns
    -------
    dict or None
        The specification of Vega-Lite; None where altair is not installed.
    """
    import altair as alt

    names = alt.Y(
        "name:N",
        sort=None,
        title=None,
        scale=alt.Scale(domain=[row["name"] for row in found]),
        axis=alt.Axis(labelLimit=200, grid=True, ticks=False, domain=False),
    )
    colors = alt.Scale(domain=[*SERIES], range=[*map(color, SERIES.values())])
    shown = [alt.Tooltip("name:N", title="model"), alt.Tooltip("value:Q", title=title)]
    shown += [alt.Tooltip("low:Q", title="from"), alt.Tooltip("high:Q", title="to")]
    base = alt.Chart(table(found)).encode(
        y=names, color=alt.Color("series:N", scale=colors, legend=None), tooltip=shown
    )
    line = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title=title, scale=alt.Scale(zero=True, nice=False, padding=10)),
        x2="high:Q",
        opacity=faded(0.6),
    )
    point = base.mark_circle(size=70).encode(x="value:Q", opacity=faded())
    zero = alt.Chart(table([{"at": 0.0}])).mark_rule(color=MUTED, strokeDash=[3, 3]).encode(x="at:Q")
    return layered(zero, line, point, height=LINE * len(found))

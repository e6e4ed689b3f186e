"""Scores against costs: each model with its interval, and the front of models that none beats in both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from committee.report.charts.axes import Axis
from committee.report.charts.drawing import drawn, faded, layered, table
from committee.report.charts.theme import TEXT, color

HEIGHT = 300
FEW = 100
"""Subsets whose points are larger."""
NAMED, LETTER, LINE = 6, 0.027, 0.07
"""Most models that are named, and the size of a letter as shares of the width and the height on a phone."""
SERIES = {"single members": 0, "combinations": 1, "Pareto front": None}
TINY = 1e-9
Point = tuple[float, float]
Box = tuple[float, float, float, float]


@drawn
def costs(
    models: Sequence[Mapping[str, Any]], front: Sequence[Point], subsets: Sequence[Point], x: Axis, y: Axis
) -> Any:
    """Return scores with intervals by cost.

    Parameters
    ----------
    models : sequence of mapping
        The `name`, `cost`, `value`, `low`, `high` and `series` of each, which is a key of `SERIES`, and
        whether it is `recommended`. The first ones are named in the chart.
    front : sequence of (float, float)
        Cost and score of the models of the front, cheapest first.
    subsets : sequence of (float, float)
        Cost and score of other combinations.
    x, y : Axis

    Returns
    -------
    dict or None
        The specification of Vega-Lite; None where altair is not installed.
    """
    import altair as alt

    scale = alt.Scale(domain=[*SERIES], range=[*map(color, SERIES.values())])
    shown = [alt.Tooltip("name:N", title="model"), alt.Tooltip("cost:Q", title=x.title)]
    shown += [alt.Tooltip(f"{key}:Q", title=key) for key in ("value", "low", "high")]
    base = alt.Chart(table(models)).encode(
        x=x.x("cost"), color=alt.Color("series:N", scale=scale, legend=None), tooltip=shown
    )
    interval = base.mark_rule(strokeWidth=2).encode(y=y.y("low"), y2="high:Q", opacity=faded(0.5))
    point = base.mark_point(filled=True, size=75, stroke="var(--card)", strokeWidth=1)
    point = point.encode(y=y.y("value"), opacity=faded())
    ring = base.transform_filter("datum.recommended").encode(y=y.y("value"), color=alt.value(TEXT))
    ring = ring.mark_point(size=230, strokeWidth=1.5, opacity=1)
    layers = [_subsets(subsets, x, y), _front(front, x, y), interval, point, ring]
    return layered(*layers, *_names(models, x, y), height=HEIGHT)


def _subsets(subsets: Sequence[Point], x: Axis, y: Axis) -> Any:
    import altair as alt

    rows = [{"x": cost, "y": score} for cost, score in subsets]
    mark = alt.Chart(table(rows)).mark_circle(color=color(None), size=24 if len(rows) < FEW else 10)
    shown = [alt.Tooltip("x:Q", title=x.title), alt.Tooltip("y:Q", title="value of the fit")]
    return mark.encode(x=x.x(), y=y.y(), tooltip=shown, opacity=alt.value(0.55))


def _front(front: Sequence[Point], x: Axis, y: Axis) -> Any:
    import altair as alt

    rows = [{"x": cost, "y": score, "series": [*SERIES][-1]} for cost, score in front]
    mark = alt.Chart(table(rows)).mark_line(interpolate="step-after", color=color(None), strokeDash=[5, 4])
    return mark.encode(x=x.x(), y=y.y(), opacity=faded())


def _names(models: Sequence[Mapping[str, Any]], x: Axis, y: Axis) -> list[Any]:
    """Return the names of the first models, without those that would cover an earlier one."""
    import altair as alt

    taken: list[Box] = []
    sides: dict[str, list[Mapping[str, Any]]] = {"left": [], "right": []}
    for model, (across, up) in zip(models, _places(models), strict=True):
        side = "left" if across <= 0.5 else "right"
        width = LETTER * len(model["name"])
        box = (
            (across, up, across + width, up + LINE)
            if side == "left"
            else (across - width, up, across, up + LINE)
        )
        if len(taken) < NAMED and not any(_overlap(box, other) for other in taken):
            taken.append(box)
            sides[side].append(model)
    return [
        alt.Chart(table(rows))
        .mark_text(align=side, dx=8 if side == "left" else -8, dy=-9)
        .encode(x=x.x("cost"), y=y.y("value"), text="name:N")
        for side, rows in sides.items()
    ]


def _places(models: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Return the places of points as shares of the width and the height of the chart."""
    costs = [math.log(max(model["cost"], TINY)) for model in models]
    ends = min(model["low"] for model in models), max(model["high"] for model in models)
    wide, high = max(costs) - min(costs) or 1.0, ends[1] - ends[0] or 1.0
    return [
        ((cost - min(costs)) / wide, (model["value"] - ends[0]) / high)
        for cost, model in zip(costs, models, strict=True)
    ]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]

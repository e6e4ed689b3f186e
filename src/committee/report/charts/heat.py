"""Heat maps: a square for each pair of names, with its value in it if there are few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.report.charts.drawing import drawn, layered, table
from committee.report.charts.theme import LINE, TEXT, color

WRITTEN = 12
"""Largest number of rows whose values are written into their squares."""
SIDE, LEAST_SIDE, MOST_HEIGHT = 32, 7, 480
"""Height of a square in pixels, the least of many, and about the most of all."""
SHORT = 3
"""Letters of names of columns that are written horizontally."""
STRONG = 0.55
"""Share from which the text in a square is light."""


@drawn
def heat_map(
    shares: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    texts: Sequence[Sequence[str]],
    x_title: str,
    y_title: str,
) -> Any:
    """Return a heat map in shades of one color.

    Parameters
    ----------
    shares : float array [R, C]
        From 0 to 1; squares with 0 or NaN are left out.
    rows, columns : sequence of str
        Their names.
    texts : nested sequence of str
        The value of each square.
    x_title, y_title : str
        What columns and rows are.

    Returns
    -------
    dict or None
        The specification of Vega-Lite; None where altair is not installed.
    """
    import altair as alt

    known = np.argwhere(np.nan_to_num(shares) > 0).tolist()
    data = [
        {"row": rows[r], "column": columns[c], "share": float(shares[r, c]), "text": texts[r][c]}
        for r, c in known
    ]
    side = min(SIDE, max(LEAST_SIDE, MOST_HEIGHT // len(rows)))
    base = alt.Chart(table(data)).encode(
        x=_names(
            alt.X,
            "column",
            columns,
            x_title,
            orient="top",
            labelAngle=0 if max(map(len, columns)) <= SHORT else -40,
        ),
        y=_names(alt.Y, "row", rows, y_title),
    )
    square = base.mark_rect(color=color(0), stroke=LINE, strokeWidth=0.5).encode(
        fillOpacity=alt.FillOpacity("share:Q", scale=None), tooltip=_tooltip(x_title, y_title)
    )
    is_strong = alt.when(f"datum.share > {STRONG}").then(alt.value("var(--page)"))
    text = base.mark_text().encode(text="text:N", color=is_strong.otherwise(alt.value(TEXT)))
    layers = [square, text] if max(shares.shape) <= WRITTEN else [square]
    return layered(*layers, height=side * len(rows))


def _names(channel: Any, field: str, names: Sequence[str], title: str, **axis: Any) -> Any:
    import altair as alt

    shown = alt.Axis(labelLimit=110, domain=False, ticks=False, grid=False, labelOverlap=True, **axis)
    return channel(f"{field}:N", sort=None, scale=alt.Scale(domain=list(names)), title=title, axis=shown)


def _tooltip(x_title: str, y_title: str) -> list[Any]:
    import altair as alt

    names = {"row": y_title, "column": x_title, "text": "value"}
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in names.items()]

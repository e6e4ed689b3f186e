"""Many points without names: values against others, with a line to compare them with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from committee.report.charts.axes import Axis
from committee.report.charts.drawing import drawn, layered, table
from committee.report.charts.theme import HEIGHT, color


@drawn
def cloud(xs: ArrayLike, ys: ArrayLike, x: Axis, y: Axis, slope: float) -> Any:
    """Return a chart of points, and the dashed line through 0 with this slope.

    Parameters
    ----------
    xs, ys : float array [N]
    x, y : Axis
    slope : float
        1 where both axes have the same values if all is right, 0 for residuals.

    Returns
    -------
    dict or None
        The specification of Vega-Lite; None where altair is not installed.
    """
    import altair as alt

    across, up = np.asarray(xs, np.float64), np.asarray(ys, np.float64)
    rows = [{"x": one, "y": other} for one, other in zip(across.tolist(), up.tolist(), strict=True)]
    ends = [{"x": end, "y": slope * end} for end in (float(np.nanmin(across)), float(np.nanmax(across)))]
    shown = [alt.Tooltip("x:Q", title=x.title), alt.Tooltip("y:Q", title=y.title)]
    points = (
        alt.Chart(table(rows))
        .mark_circle(size=18, color=color(0), opacity=0.55)
        .encode(x=x.x(), y=y.y(), tooltip=shown)
    )
    line = alt.Chart(table(ends)).mark_line(color=color(None), strokeDash=[5, 4]).encode(x=x.x(), y=y.y())
    return layered(line, points, height=HEIGHT)

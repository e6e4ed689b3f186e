"""Dendrograms of items by their distances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.report.charts.drawing import drawn, layered, table
from committee.report.charts.theme import color

LINE, MARGIN = 22, 10
"""Height of an item, and of what is above and below all of them, in pixels."""
STEP = 10
"""Distance of two leaves in the places that scipy returns; the first is at half of it."""


def clusters(distances: NDArray[np.float64]) -> dict[str, Any]:
    """Return the average-linkage clusters of items, as scipy places them in a dendrogram.

    Parameters
    ----------
    distances : float array [M, M]
        Symmetric, with zeros on the diagonal; M is at least 2.

    Returns
    -------
    dict
        `leaves`, the items in the order in which they are drawn; `icoord` and `dcoord`, the places and
        distances of the corners of each pair.
    """
    from scipy.cluster.hierarchy import dendrogram, linkage
    from scipy.spatial.distance import squareform

    clean = np.maximum((distances + distances.T) / 2, 0)
    np.fill_diagonal(clean, 0)
    links = linkage(squareform(clean, checks=False), "average", optimal_ordering=True)
    found: dict[str, Any] = dendrogram(links, no_plot=True)
    return found


@drawn
def tree(found: dict[str, Any], names: Sequence[str], title: str) -> Any:
    """Return the dendrogram of clusters.

    Parameters
    ----------
    found : dict
        What `clusters` returns.
    names : sequence of str
        The names of the items, in the order of `leaves`.
    title : str
        What distances are.

    Returns
    -------
    dict or None
        The specification of Vega-Lite; None where altair is not installed.
    """
    import altair as alt

    rows = [
        {"pair": pair, "corner": corner, "x": distance, "y": place / STEP - 0.5, "joined": max(distances)}
        for pair, (places, distances) in enumerate(zip(found["icoord"], found["dcoord"], strict=True))
        for corner, (place, distance) in enumerate(zip(places, distances, strict=True))
    ]
    axis = alt.Axis(values=[*range(len(names))], labelExpr="names[datum.value]", grid=False)
    ends = alt.Scale(domain=[-0.5, len(names) - 0.5], reverse=True, nice=False)
    chart = (
        alt.Chart(table(rows))
        .mark_line(color=color(0), strokeWidth=1.5, strokeJoin="round")
        .encode(
            x=alt.X("x:Q", title=title, scale=alt.Scale(zero=True, nice=False)),
            y=alt.Y("y:Q", title=None, axis=axis, scale=ends),
            detail="pair:N",
            order="corner:Q",
            tooltip=[alt.Tooltip("joined:Q", title=title)],
        )
    )
    named = alt.param(name="names", value=list(names))
    return layered(chart, height=LINE * len(names) + 2 * MARGIN).add_params(named)

"""Dendrograms of items by their distances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from committee.report.charts.svg import drawing, tag

WIDTH, LINE, LETTERS, LETTER = 440.0, 22.0, 18, 6.4


def dendrogram(distances: NDArray[np.float64], names: Sequence[str], label: str) -> tuple[Markup, list[int]]:
    """Return the drawing of average-linkage clusters, and the order of the leaves from top to bottom.

    Parameters
    ----------
    distances : float array [M, M]
        Symmetric, with zeros on the diagonal; M is at least 2.
    names : sequence of str
        The names of the leaves.
    label : str
        Description for screen readers.
    """
    from scipy.cluster.hierarchy import linkage, to_tree
    from scipy.spatial.distance import squareform

    clean = (distances + distances.T) / 2
    np.fill_diagonal(clean, 0)
    links = linkage(squareform(np.maximum(clean, 0), checks=False), "average", optimal_ordering=True)
    root = to_tree(links)
    order = [int(place) for place in root.pre_order()]
    top = float(links[:, 2].max()) or 1.0
    left, right = LETTER * min(max(map(len, names)), LETTERS) + 14, WIDTH - 12
    marks: list[Markup] = []

    def x(height: float) -> float:
        return left + height / top * (right - left)

    def draw(node: object) -> float:
        if node.is_leaf():  # type: ignore[attr-defined]
            return LINE * (order.index(node.id) + 0.7)  # type: ignore[attr-defined]
        one, two = node.get_left(), node.get_right()  # type: ignore[attr-defined]
        first, second, place = draw(one), draw(two), x(node.dist)  # type: ignore[attr-defined]
        path = f"M{x(one.dist):.1f} {first:.1f}H{place:.1f}V{second:.1f}H{x(two.dist):.1f}"
        marks.append(tag("path", tag("title", f"{node.dist:.4g}"), d=path, class_="thin c0"))  # type: ignore[attr-defined]
        return (first + second) / 2

    draw(root)
    for row, place in enumerate(order):
        name = names[place]
        short = name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"
        marks.append(
            tag(
                "text",
                short,
                tag("title", name),
                x=left - 6,
                y=LINE * (row + 0.7) + 4,
                class_="tick",
                text_anchor="end",
            )
        )
    return drawing(label, WIDTH, LINE * (len(order) + 0.4), *marks), order

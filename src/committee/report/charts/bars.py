"""Small drawings inside the cells of tables: intervals and bars on one scale."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from committee.report.charts.scale import Scale
from committee.report.charts.svg import color, drawing, tag

WIDTH, HEIGHT = 140.0, 16.0


def interval_bar(
    found: Mapping[str, float], scale: Scale, series: int | None = 0, zero: bool = False
) -> Markup:
    """Return a value as a point on the line of its interval.

    Parameters
    ----------
    found : mapping
        `value`, `low` and `high`.
    scale : Scale
        The scale of all cells of the column.
    series : int or None
        Number of its color.
    zero : bool
        Whether to mark the place of 0.
    """
    low, value, high = (_place(found[key], scale) for key in ("low", "value", "high"))
    marks = [tag("path", d=f"M{_place(0.0, scale):.1f} 0V{HEIGHT:g}", class_="zero")] if zero else []
    marks.append(tag("path", d=f"M{low:.1f} 8H{max(high, low + 1):.1f}", class_=f"error {color(series)}"))
    marks.append(tag("circle", cx=value, cy=8.0, r=4.0, class_=f"point {color(series)}"))
    label = f"{found['value']:.4g}, from {found['low']:.4g} to {found['high']:.4g}"
    return drawing(label, WIDTH, HEIGHT, *marks, class_="cell")


def value_bar(value: float, scale: Scale, series: int | None = 0) -> Markup:
    """Return a value as a bar from 0, to the left if it is negative."""
    left, right = sorted((_place(0.0, scale), _place(value, scale)))
    mark = tag(
        "rect", x=left, y=3.0, width=max(right - left, 0.5), height=10.0, class_=f"bar {color(series)}"
    )
    return drawing(f"{value:.4g}", WIDTH, HEIGHT, mark, class_="cell")


def _place(value: float, scale: Scale) -> float:
    return 6 + scale.place(value) * (WIDTH - 12)

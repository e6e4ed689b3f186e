"""A chart with two axes, to which lines, points and bars are added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from committee.report.charts.scale import Scale
from committee.report.charts.svg import color, drawing, tag

WIDTH, HEIGHT = 440.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 14.0, 12.0, 44.0
LETTER, LINE = 5.6, 11.0
"""Width of a letter of a name, and height of a line."""
MOST = 240
"""Points of a line, of which more are not visible."""


class Frame:
    """The axes of a chart, and what is drawn in them.

    Parameters
    ----------
    x, y : Scale
    x_label, y_label : str
    height : float
        In units of which a chart is 440 wide.

    See Also
    --------
    committee.report.charts.scale.Scale : One axis.

    Examples
    --------
    >>> from committee.report.charts.frame import Frame
    >>> from committee.report.charts.scale import Scale
    >>> frame = Frame(Scale(0, 1), Scale(0, 1), "coverage", "risk")
    >>> frame.line([0, 1], [0.1, 0.2], 0, "resnet")
    >>> 'class="line c0"' in frame.svg("Risk by coverage")
    True
    """

    def __init__(self, x: Scale, y: Scale, x_label: str, y_label: str, height: float = HEIGHT) -> None:
        self.x, self.y, self.x_label, self.y_label, self.height = x, y, x_label, y_label, height
        self.marks: list[Markup] = []
        self._taken: list[tuple[float, float, float, float]] = []

    def line(
        self, xs: ArrayLike, ys: ArrayLike, series: int | None, title: str = "", style: str = "line"
    ) -> None:
        """Add a line through finite points; of many, every k-th is drawn, and the last."""
        places = np.column_stack([np.asarray(xs, np.float64), np.asarray(ys, np.float64)])
        places = places[np.isfinite(places).all(axis=1)]
        if len(places) > MOST:
            places = places[np.unique(np.linspace(0, len(places) - 1, MOST).round().astype(int))]
        points = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in places.tolist())
        self.marks.append(tag("polyline", *_title(title), points=points, class_=f"{style} {color(series)}"))

    def point(self, x: float, y: float, series: int | None, title: str, **style: Any) -> None:
        """Add a point whose title is shown when it is pointed at; `style` are attributes such as `r`."""
        shown = {"r": 4.5, **style}
        self.marks.append(
            tag(
                "circle",
                *_title(title),
                cx=self._x(x),
                cy=self._y(y),
                class_=f"point {color(series)}",
                **shown,
            )
        )

    def ring(self, x: float, y: float) -> None:
        """Add a ring around a point."""
        self.marks.append(tag("circle", cx=self._x(x), cy=self._y(y), r=8.0, class_="ring"))

    def points(self, xs: Sequence[float], ys: Sequence[float], series: int | None, radius: float) -> None:
        """Add many small points without titles, as one element."""
        dots = (f"M{self._x(x):.1f} {self._y(y):.1f}h0" for x, y in zip(xs, ys, strict=True))
        self.marks.append(
            tag("path", d="".join(dots), class_=f"dots {color(series)}", stroke_width=2 * radius)
        )

    def error(self, x: float, low: float, high: float, series: int | None) -> None:
        """Add the vertical line of an interval."""
        place = self._x(x)
        self.marks.append(
            tag(
                "path",
                d=f"M{place:.1f} {self._y(low):.1f}V{self._y(high):.1f}",
                class_=f"error {color(series)}",
            )
        )

    def bar(
        self, left: float, right: float, value: float, series: int | None, title: str, style: str = "bar"
    ) -> None:
        """Add a bar from 0 to a value."""
        top, bottom = sorted((self._y(value), self._y(0.0)))
        self.marks.append(
            tag(
                "rect",
                *_title(title),
                x=self._x(left) + 0.5,
                y=top,
                width=max(self._x(right) - self._x(left) - 1, 0.5),
                height=max(bottom - top, 0.5),
                class_=f"{style} {color(series)}",
            )
        )

    def name(self, x: float, y: float, text: str) -> None:
        """Add a text beside a point, unless it would cover an earlier one."""
        width = LETTER * len(text)
        for right in (True, False):
            left = self._x(x) + (7 if right else -7 - width)
            for base in (self._y(y) - 6, self._y(y) + 13):
                box = (left, base - LINE, left + width, base)
                inside = box[0] >= LEFT and box[2] <= WIDTH
                if inside and not any(_overlap(box, other) for other in self._taken):
                    self._taken.append(box)
                    self.marks.append(tag("text", text, x=left, y=base, class_="name"))
                    return

    def svg(self, label: str) -> Markup:
        """Return the chart with a description of it."""
        right, bottom = WIDTH - RIGHT, self.height - BOTTOM
        axes = []
        for value, text in self.y.ticks():
            y = self._y(value)
            axes.append(tag("path", d=f"M{LEFT:g} {y:.1f}H{right:g}", class_="grid"))
            axes.append(tag("text", text, x=LEFT - 6, y=y + 4, class_="tick", text_anchor="end"))
        for value, text in self.x.ticks():
            x = self._x(value)
            axes.append(tag("path", d=f"M{x:.1f} {bottom:g}v4", class_="axis"))
            axes.append(tag("text", text, x=x, y=bottom + 17, class_="tick", text_anchor="middle"))
        axes.append(tag("path", d=f"M{LEFT:g} {bottom:g}H{right:g}", class_="axis"))
        middle, side = (LEFT + right) / 2, (TOP + bottom) / 2
        axes.append(
            tag("text", self.x_label, x=middle, y=self.height - 6, class_="label", text_anchor="middle")
        )
        axes.append(
            tag(
                "text",
                self.y_label,
                x=12.0,
                y=side,
                class_="label",
                text_anchor="middle",
                transform=f"rotate(-90 12 {side:g})",
            )
        )
        return drawing(label, WIDTH, self.height, *axes, *self.marks)

    def _x(self, value: float) -> float:
        return LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)

    def _y(self, value: float) -> float:
        return self.height - BOTTOM - self.y.place(value) * (self.height - BOTTOM - TOP)


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _title(text: str) -> list[Markup]:
    return [tag("title", text)] if text else []

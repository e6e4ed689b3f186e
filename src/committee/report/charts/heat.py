"""Heat maps: squares with their values for few rows, and a picture for many."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from committee.report.charts.svg import drawing, tag

WRITTEN = 12
"""Largest number of rows whose values are written into their squares."""
DRAWN = 40
"""Largest number of rows that are drawn as squares with titles; more are one picture."""
SQUARE, MARGIN, LETTERS = 30.0, 6.2, 16
LEAST = 440.0
"""Width of other charts, so that letters have the same size."""
STRONG = 0.55
COLOR = (11, 94, 168)


def heat_map(
    values: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    label: str,
    texts: Sequence[Sequence[str]] | None = None,
) -> Markup:
    """Return a heat map of shares `[R, C]` from 0 to 1, in shades of one color; NaN is empty.

    Parameters
    ----------
    values : float array [R, C]
    rows, columns : sequence of str
        Their names, which are shortened; titles have the whole names.
    label : str
        Description for screen readers.
    texts : nested sequence of str, optional
        What is written in the squares; by default, the value as two digits.
    """
    if max(values.shape) > DRAWN:
        return _picture(values, label)
    left = MARGIN * min(max(map(len, rows)), LETTERS) + 8
    top = MARGIN * min(max(map(len, columns)), LETTERS) * 0.75 + 12
    written = texts or [[f"{value:.2f}" for value in row] for row in values.tolist()]
    marks = [
        _square(
            values[row, column],
            left + column * SQUARE,
            top + row * SQUARE,
            f"{rows[row]}, {columns[column]}: {written[row][column]}",
            written[row][column],
            max(values.shape) <= WRITTEN,
        )
        for row in range(len(rows))
        for column in range(len(columns))
    ]
    for row, name in enumerate(rows):
        y = top + row * SQUARE + SQUARE / 2 + 4
        marks.append(
            tag("text", _short(name), tag("title", name), x=left - 5, y=y, class_="tick", text_anchor="end")
        )
    for column, name in enumerate(columns):
        x = left + column * SQUARE + SQUARE / 2
        turned = f"rotate(-40 {x:g} {top - 5:g})"
        marks.append(
            tag("text", _short(name), tag("title", name), x=x, y=top - 5, class_="tick", transform=turned)
        )
    width, height = left + len(columns) * SQUARE + 0.65 * top, top + len(rows) * SQUARE + 2
    return drawing(label, max(width, LEAST), height, *marks)


def _square(value: float, x: float, y: float, title: str, text: str, is_written: bool) -> Markup:
    known = np.isfinite(value)
    inner = [tag("title", title)]
    square = tag(
        "rect",
        *inner,
        x=x,
        y=y,
        width=SQUARE - 1,
        height=SQUARE - 1,
        class_="heat",
        fill_opacity=f"{min(max(float(value), 0.0), 1.0):.3f}" if known else "0",
    )
    if not is_written or not known or (not text or text == "0"):
        return square
    strong = "value strong" if value > STRONG else "value"
    size = "9" if len(text) > 3 else None
    return square + tag(
        "text",
        text,
        x=x + SQUARE / 2 - 0.5,
        y=y + SQUARE / 2 + 4,
        class_=strong,
        text_anchor="middle",
        font_size=size,
    )


def _picture(values: NDArray[np.float64], label: str) -> Markup:
    """Return a PNG picture with one pixel for each value."""
    shares = np.clip(np.nan_to_num(values), 0, 1)[..., None]
    pixels = (255 - shares * (255 - np.array(COLOR))).round().astype(np.uint8)
    return tag("img", class_="pixels", alt=label, src=png_uri(pixels))


def png_uri(pixels: NDArray[np.uint8]) -> str:
    """Return an image, uint8 `[H, W, 3]` or `[H, W]`, as the address of a PNG file in the page itself."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"

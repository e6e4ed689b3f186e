"""Colors of classes in masks and pictures."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

FIRST = (
    (0, 0, 0),
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Black for the first class, which is often the background, and seven colors that color-blind people can tell
apart (Okabe and Ito 2008)."""
GOLDEN = 0.618033988749895


def palette(classes: int) -> NDArray[np.uint8]:
    """Return a color for each class, uint8 `[classes, 3]`, which does not depend on their number.

    References
    ----------
    M. Okabe, K. Ito (2008). Color universal design: how to make figures and presentations that are friendly
    to colorblind people.

    Examples
    --------
    >>> from committee.inference.palette import palette
    >>> palette(3).tolist()
    [[0, 0, 0], [230, 159, 0], [86, 180, 233]]
    """
    more = [_more(index) for index in range(classes - len(FIRST))]
    return np.array([*FIRST, *more], np.uint8)[:classes]


def _more(index: int) -> tuple[int, ...]:
    """Return one of many different colors: hues at steps of the golden ratio, in three brightnesses."""
    color = colorsys.hsv_to_rgb(index * GOLDEN % 1, 0.55 + 0.3 * (index % 2), 0.95 - 0.2 * (index % 3))
    return tuple(round(255 * part) for part in color)

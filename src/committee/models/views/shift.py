"""Shifts to the four sides."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from committee.base.sizes import greatest
from committee.errors import UsageError
from committee.models.squares import window
from committee.models.views.base import Views

SIDES = {"up": (1, 0), "down": (-1, 0), "left": (0, 1), "right": (0, -1)}
"""Direction in which the content moves -> direction in which the window moves."""


class Shift(Views):
    """The content moved to each of the four sides.

    What comes in at the border is the part of the canvas that the center leaves out (`fit: crop`, for
    fractions up to 0.075); beyond the canvas, its border is repeated. For maps, what leaves the image comes
    in at the opposite side, so that a map of the view is one of the whole image (cycle spinning, Coifman and
    Donoho 1995).

    Parameters
    ----------
    fraction : float
        Distance as a fraction of the side of the network's input, or of the image for maps, at least one
        pixel; above 0 and below 1.

    Raises
    ------
    UsageError
        `fraction` is out of range.

    References
    ----------
    R. R. Coifman, D. L. Donoho (1995). Translation-invariant de-noising. Wavelets and Statistics. Springer.

    Examples
    --------
    >>> from committee.models.views import Shift
    >>> Shift(0.1).names
    ('identity', 'up_0.1', 'down_0.1', 'left_0.1', 'right_0.1')
    """

    def __init__(self, fraction: float = 0.05) -> None:
        if not 0 < fraction < 1:
            raise UsageError("shift.fraction", expected="a number above 0 and below 1", got=f"{fraction:g}")
        super().__init__(f"{side}_{fraction:g}" for side in SIDES)
        self.fraction = fraction

    def transform(self, name: str, canvas: Tensor, size: int) -> Tensor:
        """Return the window that is moved to the opposite side; see the base class."""
        if not size:
            return self._rolled(name, canvas, 1)
        down, right = SIDES[name.partition("_")[0]]
        start, distance = (canvas.shape[-1] - size) // 2, max(1, round(self.fraction * size))
        return window(canvas, start + down * distance, start + right * distance, size)

    def undo(self, name: str, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Return maps that are moved back; see the base class."""
        return self._rolled(name, maps, -1)

    def _rolled(self, name: str, images: Tensor, sign: int) -> Tensor:
        down, right = SIDES[name.partition("_")[0]]
        axis = 2 if down else 3
        part = Fraction(self.fraction).limit_denominator(1000)
        length = images.shape[axis]
        distance = greatest(length * part.numerator // part.denominator, 1)
        first = distance if sign * (down + right) > 0 else length - distance
        # A graph does not record `roll` by a number that depends on the size.
        return torch.cat([images.narrow(axis, first, length - first), images.narrow(axis, 0, first)], axis)

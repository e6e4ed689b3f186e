"""Darker and brighter copies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from committee.errors import UsageError
from committee.models.views.base import Views

LARGEST = 10.0


class Brightness(Views):
    """The center with its pixels multiplied by factors, rounded, and limited to 255.

    Parameters
    ----------
    factors : sequence of float
        The factors besides 1, above 0 and at most 10.

    Raises
    ------
    UsageError
        There are no factors, or one is out of range.

    Examples
    --------
    >>> import torch
    >>> from committee.models.views import Brightness
    >>> Brightness((0.5, 2.0))(torch.full((1, 1, 1, 1), 100, dtype=torch.uint8), 1).flatten().tolist()
    [100, 50, 200]
    """

    def __init__(self, factors: Sequence[float] = (0.9, 1.1)) -> None:
        wrong = [factor for factor in factors if not 0 < factor <= LARGEST or factor == 1]
        if wrong or not factors:
            raise UsageError(
                "brightness.factors",
                expected=f"numbers above 0 and at most {LARGEST:g}, other than 1",
                got=f"{wrong[0]:g}" if wrong else "none",
            )
        super().__init__(dict.fromkeys(f"brightness_{factor:g}" for factor in factors))
        self.factors = tuple(factors)

    def transform(self, name: str, canvas: Tensor, size: int) -> Tensor:
        """Return the center with multiplied pixels; see the base class."""
        factor = float(name.removeprefix("brightness_"))
        pixels = self.identity(canvas, size).float() * factor
        return pixels.round().clamp(max=255).to(torch.uint8)

    def undo(self, name: str, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the maps as they are: pixels stay where they are."""
        return maps

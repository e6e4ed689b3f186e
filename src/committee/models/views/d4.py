"""The symmetries of a square: rotations by right angles and mirror images."""

from __future__ import annotations

from torch import Tensor

from committee.models.views.base import IDENTITY, Views

ELEMENTS: dict[str, tuple[bool, tuple[int, ...]]] = {
    IDENTITY: (False, ()),
    "rot90": (True, (-2,)),
    "rot180": (False, (-2, -1)),
    "rot270": (True, (-1,)),
    "hflip": (False, (-1,)),
    "vflip": (False, (-2,)),
    "transpose": (True, ()),
    "antitranspose": (True, (-2, -1)),
}
"""Name of an element -> whether rows and columns are exchanged, and the axes that are reversed after that."""


class D4(Views):
    """The eight symmetries of a square, for images without an upright direction, such as aerial photographs.

    Rotations are counterclockwise.

    See Also
    --------
    Hflip : The mirror image alone, for photographs with an upright direction.

    Examples
    --------
    >>> from committee.models.views import D4
    >>> D4().names
    ('identity', 'rot90', 'rot180', 'rot270', 'hflip', 'vflip', 'transpose', 'antitranspose')
    """

    def __init__(self) -> None:
        super().__init__(name for name in ELEMENTS if name != IDENTITY)

    def transform(self, name: str, canvas: Tensor, size: int) -> Tensor:
        """Return the center under a symmetry; see the base class."""
        exchanged, reversed_axes = ELEMENTS[name]
        images = self.identity(canvas, size)
        return (images.mT if exchanged else images).flip(reversed_axes)

    def undo(self, name: str, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Return maps under the inverse symmetry; see the base class."""
        exchanged, reversed_axes = ELEMENTS[name]
        upright = maps.flip(reversed_axes)
        return upright.mT if exchanged else upright

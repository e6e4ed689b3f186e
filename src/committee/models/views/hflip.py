"""The image and its mirror image."""

from __future__ import annotations

from torch import Tensor

from committee.models.views.base import Views


class Hflip(Views):
    """The mirror image, left to right.

    See Also
    --------
    D4 : All rotations by right angles and mirror images.

    Examples
    --------
    >>> from committee.models.views import Hflip
    >>> Hflip().names
    ('identity', 'hflip')
    """

    def __init__(self) -> None:
        super().__init__(["hflip"])

    def transform(self, name: str, canvas: Tensor, size: int) -> Tensor:
        """Return the mirror image of the center; see the base class."""
        return self.identity(canvas, size).flip(-1)

    def undo(self, name: str, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the mirror image of maps; see the base class."""
        return maps.flip(-1)

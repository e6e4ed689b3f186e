"""The center and the four corners."""

from __future__ import annotations

from torch import Tensor

from committee.errors import UsageError
from committee.images.view import MARGIN
from committee.models.squares import scaled, window
from committee.models.views.base import Views

CORNERS = {"top_left": (0, 0), "top_right": (0, 1), "bottom_left": (1, 0), "bottom_right": (1, 1)}


class FiveCrop(Views):
    """The four corners of the canvas, and the center (Krizhevsky et al. 2012).

    With the usual preprocessing (`fit: crop`) and the default `scale`, corners are as large as the network's
    input; otherwise they are resized to it.

    Parameters
    ----------
    scale : float
        Side of a corner as a fraction of that of the canvas, above 0 and at most 1.
    flip : bool
        Whether to add the mirror images of the center and the corners (ten crops).

    Raises
    ------
    UsageError
        `scale` is out of range.

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. E. Hinton (2012). ImageNet classification with deep convolutional neural
    networks. NeurIPS.

    Examples
    --------
    >>> from committee.models.views import FiveCrop
    >>> FiveCrop().names
    ('identity', 'top_left_0.869565', 'top_right_0.869565', 'bottom_left_0.869565', 'bottom_right_0.869565')
    >>> FiveCrop(0.8, flip=True).names[-2:]
    ('hflip_bottom_left_0.8', 'hflip_bottom_right_0.8')
    """

    def __init__(self, scale: float = 1 / MARGIN, flip: bool = False) -> None:
        if not 0 < scale <= 1:
            raise UsageError("five_crop.scale", expected="a number above 0 and at most 1", got=f"{scale:g}")
        corners = {f"{corner}_{scale:g}": place for corner, place in CORNERS.items()}
        mirrored = ["hflip", *(f"hflip_{corner}" for corner in corners)] if flip else []
        super().__init__([*corners, *mirrored])
        self.scale, self.flip = scale, flip
        self._corners = corners

    def transform(self, name: str, canvas: Tensor, size: int) -> Tensor:
        """Return a corner, or the mirror image of the center or of a corner; see the base class."""
        corner = name.removeprefix("hflip").removeprefix("_")
        images = self._corner(corner, canvas, size) if corner else self.identity(canvas, size)
        return images.flip(-1) if name.startswith("hflip") else images

    def _corner(self, corner: str, canvas: Tensor, size: int) -> Tensor:
        whole = canvas.shape[-1]
        side = max(1, int(whole * self.scale + 1e-6))  # the size of the input, for a canvas of 1.15 times it
        bottom, right = self._corners[corner]
        return scaled(window(canvas, bottom * (whole - side), right * (whole - side), side), size)

"""The center at several scales."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from torch import Tensor
from torch.nn.functional import interpolate

from committee.base.sizes import greatest
from committee.errors import UsageError
from committee.models.squares import center, scaled
from committee.models.views.base import Views

SMALLEST, LARGEST = 0.25, 4.0


class MultiScale(Views):
    """The center, with what it shows at other sizes.

    At scale 1.15 the network sees a smaller part of the image, 1.15 times as large. At a scale below 1 it
    sees more of the image, as far as the canvas reaches (0.87 with `fit: crop`); beyond, its border is
    repeated. For maps, the whole image is resized (bilinear), and its maps are resized back.

    Parameters
    ----------
    scales : sequence of float
        The scales besides 1, from 0.25 to 4.

    Raises
    ------
    UsageError
        There are no scales, or one is out of range.

    Examples
    --------
    >>> from committee.models.views import MultiScale
    >>> MultiScale((0.9, 1.2)).names
    ('identity', 'scale_0.9', 'scale_1.2')
    """

    def __init__(self, scales: Sequence[float] = (0.87, 1.15)) -> None:
        wrong = [scale for scale in scales if not SMALLEST <= scale <= LARGEST or scale == 1]
        if wrong or not scales:
            raise UsageError(
                "multi_scale.scales",
                expected=f"numbers from {SMALLEST:g} to {LARGEST:g} other than 1",
                got=f"{wrong[0]:g}" if wrong else "none",
            )
        super().__init__(dict.fromkeys(f"scale_{scale:g}" for scale in scales))
        self.scales = tuple(scales)

    def transform(self, name: str, canvas: Tensor, size: int) -> Tensor:
        """Return the center at a scale; see the base class."""
        if not size:
            return _resized(canvas, name)
        side = max(1, round(size / float(name.removeprefix("scale_"))))
        return scaled(center(canvas, side), size)

    def undo(self, name: str, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Return maps that are resized to the size of the images; see the base class."""
        return interpolate(maps, size, mode="bilinear", align_corners=False)


def _resized(images: Tensor, name: str) -> Tensor:
    """Return whole images at a scale, float32: rounded, they would differ between engines."""
    part = Fraction(name.removeprefix("scale_"))
    sides = [greatest(side * part.numerator // part.denominator, 1) for side in images.shape[2:]]
    return interpolate(images.float(), sides, mode="bilinear", align_corners=False)

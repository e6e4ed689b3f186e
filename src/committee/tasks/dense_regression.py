"""Dense regression: numbers for each pixel."""

from __future__ import annotations

from collections.abc import Sequence

from committee.metrics.number_images import NumberImages
from committee.predictions.target_types import NUMBER_MAPS
from committee.tasks._numbers import OfNumbers


class DenseRegression(OfNumbers):
    """Outputs are maps of numbers in the units of their targets.

    Predictions are those of a sample of pixels, whose group is their image. So pixels are pooled, fitted and
    scored as images are in regression, and images are resampled. `images` scores whole images.

    There are no prediction intervals: they would be calibrated on pixels, which are not independent.

    See Also
    --------
    Regression : Numbers for each image.
    Segmentation : The class of each pixel.

    Examples
    --------
    >>> from committee.tasks import DenseRegression
    >>> DenseRegression().evaluate([1.0, 3.0], [1.0, 2.0], ["mae"])
    {'mae': 0.5}
    """

    target_type = NUMBER_MAPS
    conformal = ()

    def images(self, names: Sequence[str]) -> NumberImages:
        """Return what collects the scores of whole images, for maps of these targets."""
        return NumberImages(names)

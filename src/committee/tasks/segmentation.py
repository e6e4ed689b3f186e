"""Segmentation: the class of each pixel."""

from __future__ import annotations

from committee.predictions.target_types import CLASS_MAPS
from committee.tasks._classes import OfClasses


class Segmentation(OfClasses):
    """Outputs are maps of logits, and labels are the classes of pixels.

    Predictions are those of a sample of pixels, whose group is their image. So pixels are pooled and scored
    as images are in classification.

    See Also
    --------
    Classification : One class for each image.
    DenseRegression : Numbers for each pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.tasks import Segmentation
    >>> Segmentation().evaluate(np.log([[0.75, 0.25], [0.5, 0.5]]), [0, 0], ["accuracy"])
    {'accuracy': 1.0}
    """

    target_type = CLASS_MAPS

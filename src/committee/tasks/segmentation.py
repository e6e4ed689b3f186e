"""Segmentation: the class of each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.base.objectives import MAP_OBJECTIVES
from committee.metrics.class_images import ClassImages
from committee.metrics.segmentation import METRICS, per_class
from committee.metrics.summaries import summary
from committee.predictions.target_types import CLASS_MAPS
from committee.tasks._classes import OfClasses


class Segmentation(OfClasses):
    """Outputs are maps of logits, and labels are the classes of pixels.

    Predictions are those of a sample of pixels, whose group is their image. So pixels are pooled, fitted and
    scored as images are in classification, and images are resampled. `images` scores whole images.

    There are no prediction sets: they would be calibrated on pixels, which are not independent.

    See Also
    --------
    Classification : One class for each image.
    DenseRegression : Numbers for each pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.tasks import Segmentation
    >>> Segmentation().evaluate(np.log([[0.75, 0.25], [0.4, 0.6]]), [0, 0], ["accuracy", "mean_iou"])
    {'accuracy': 0.5, 'mean_iou': 0.25}
    """

    target_type = CLASS_MAPS
    metrics = METRICS
    objectives = MAP_OBJECTIVES
    proof = ("log_loss", "mean_iou")
    brief = ("mean_iou", "mean_dice", "log_loss", "ece")
    conformal = ()
    methods = ("soft_voting", "logit_averaging", "weighted", "greedy_selection")
    judged = ("log_loss", "mean_iou", "accuracy")
    loss = "dice_cross_entropy"

    def images(self, names: Sequence[str]) -> ClassImages:
        """Return what collects the scores of whole images, for maps of these classes."""
        return ClassImages(names)

    def details(
        self, outputs: NDArray[np.float32], labels: NDArray[Any], names: Sequence[str], **rest: Any
    ) -> dict[str, Any]:
        """Return IoU and Dice per class, the most frequent mistakes, and the confusion matrix."""
        found = super().details(outputs, labels, names, **rest)
        return {**found, "per_class": per_class(summary(outputs, labels), names)}

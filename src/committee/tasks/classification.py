"""Classification: one of several classes."""

from __future__ import annotations

from committee.predictions.target_types import CLASSES
from committee.tasks._classes import OfClasses


class Classification(OfClasses):
    """Outputs are logits, labels are classes, and members are pooled by their probabilities.

    See Also
    --------
    Regression : Numbers.
    Segmentation : The class of each pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.tasks import Classification
    >>> Classification().evaluate(np.log([[0.75, 0.25], [0.5, 0.5]]), [0, 0], ["accuracy", "brier"])
    {'accuracy': 1.0, 'brier': 0.3125}
    """

    target_type = CLASSES

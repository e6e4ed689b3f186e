"""Regression: one number for each image, or several."""

from __future__ import annotations

from committee.predictions.target_types import NUMBERS
from committee.tasks._numbers import OfNumbers


class Regression(OfNumbers):
    """Outputs are numbers in the units of their targets, and members are pooled by their mean.

    With several targets, fits measure the errors of each in units of its standard deviation on the rows of
    the fit, so that no result depends on units.

    See Also
    --------
    Classification : Classes.
    DenseRegression : Numbers for each pixel.

    Examples
    --------
    >>> from committee.tasks import Regression
    >>> Regression().evaluate([1.0, 3.0], [1.0, 2.0], ["mae", "r2"])
    {'mae': 0.5, 'r2': -1.0}
    """

    target_type = NUMBERS

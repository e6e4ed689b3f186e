"""Regression: one number for each image, or several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from committee.metrics.regression import NumberRows
from committee.predictions.table import Predictions
from committee.predictions.target_types import NUMBERS
from committee.solvers.moments import mixed
from committee.tasks._numbers import OfNumbers


class Regression(OfNumbers):
    """Outputs are numbers in the units of their targets, and members are pooled by their mean.

    With several targets, fits measure the errors of each in units of its standard deviation on the rows of
    the fit, so that no result depends on units. Outputs with a further axis of length 2 are numbers and their
    variances.

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
    variances = True

    def read(self, outputs: ArrayLike, labels: ArrayLike) -> NumberRows:
        """Return the rows of numbers `[N, T]`, or of numbers and variances `[N, T, 2]`, and true numbers."""
        if np.ndim(outputs) < 3:
            return super().read(outputs, labels)
        values, variances = np.moveaxis(np.asarray(outputs), -1, 0)
        return NumberRows.read(values, labels, variances)

    def metrics_of(self, rows: NumberRows) -> Iterable[str]:
        """Return the metrics of numbers, and of predicted distributions if there are variances."""
        return [*self.metrics, *(() if rows.variances is None else self.further)]

    def predictions(
        self,
        outputs: ArrayLike,
        members: Sequence[str],
        names: Sequence[str],
        labels_are: str | None = None,
        **rest: Any,
    ) -> Predictions:
        """Return numbers `[M, N, T]`, or numbers and their variances `[M, N, T, 2]`, as predictions."""
        if np.ndim(outputs) == 4:
            outputs, rest["variances"] = np.moveaxis(np.asarray(outputs), -1, 0)
        return super().predictions(outputs, members, names, labels_are, **rest)

    def mean(self, outputs: Tensor) -> Tensor:
        """Return the mean; with variances, the mean and the variance of the mixture."""
        if outputs.ndim < 4:
            return super().mean(outputs)
        return mixed(outputs, torch.full((len(outputs),), 1 / len(outputs)), outputs[..., 0].mean(0))

    def averaged(self, outputs: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """Return the numbers; of numbers with variances, the first two moments."""
        if outputs.ndim < 3:
            return outputs
        values, variances = np.moveaxis(outputs.astype(np.float64), -1, 0)
        return np.stack([values, variances + np.square(values)], -1)

    def from_average(self, means: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the numbers; of two moments, the numbers and their variances."""
        if means.ndim < 3:
            return super().from_average(means)
        values, squares = np.moveaxis(means, -1, 0)
        smallest = np.finfo(np.float32).tiny
        return super().from_average(np.stack([values, np.maximum(squares - np.square(values), smallest)], -1))

"""Diversity of each pair of members that predict numbers: how differently they err."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from committee.predictions.spread import spread_of
from committee.predictions.table import Predictions

Pairs = NDArray[np.float64]
TILE = 2**16
ROUNDING = 1e-12
"""Variance below which errors are those of rounding, relative to their mean square, or to the target's."""


def disagreement(predictions: Predictions) -> Pairs:
    """Return the mean squared difference of the members in units of the variance of the targets, `[M, M]`.

    Its mean over all pairs is twice the ambiguity: how far the error of the mean is below that of the members
    (Krogh and Vedelsby 1994).
    """
    products = _moments(predictions)[1].mean(axis=0)
    own = np.diag(products)
    return np.maximum(own[:, None] + own - 2 * products, 0)


def error_correlation(predictions: Predictions) -> Pairs:
    """Return the correlation of the errors, the mean over the targets, float64 `[M, M]`.

    Where the error of a member is the same in all rows, the correlation is not defined. It is then 1 for two
    members with equal errors, and 0 otherwise.
    """
    means, products = _moments(predictions)
    covariance = products - means[:, :, None] * means[:, None]
    own, square = (np.diagonal(each, axis1=1, axis2=2) for each in (covariance, products))
    spread = np.sqrt(np.where(own > ROUNDING * np.maximum(square, 1), own, 0))
    scale = spread[:, :, None] * spread[:, None]
    distance = square[:, :, None] + square[:, None] - 2 * products
    alike = (distance <= ROUNDING * np.maximum(square, 1)[:, :, None]).astype(np.float64)
    return np.divide(covariance, scale, out=alike, where=scale > 0).clip(-1, 1).mean(axis=0)


def negative_correlation(predictions: Predictions) -> Pairs:
    """Return minus the correlation of the errors, `[M, M]`."""
    return -error_correlation(predictions)


def _moments(predictions: Predictions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return means `[T, M]` and mean products `[T, M, M]` of errors in units of the spread of the target."""
    labels = predictions.require_labels("diversity")
    scale = spread_of(labels)
    members, rows, targets = predictions.logits.shape
    total, products = np.zeros((targets, members)), np.zeros((targets, members, members))
    step = max(1, TILE // (members * targets))
    for start in range(0, rows, step):
        span = slice(start, start + step)
        errors = ((predictions.logits[:, span] - labels[span]) / scale).transpose(2, 0, 1)
        total += errors.sum(axis=2)
        products += errors @ errors.transpose(0, 2, 1)
    return total / rows, products / rows

"""Searches for members and weights whose mean predicts numbers best."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from committee.base.objectives import is_custom
from committee.metrics.custom import CustomNumberMetric
from committee.predictions.spread import spread_of
from committee.solvers.search import ProductSearch, Search, WeightSearch
from committee.solvers.simplex import Matrix

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

TILE = 2**16
HOPELESS = 1e10
"""Ratio of a mean squared error to the smallest one, above which a member gets no weight."""


def target_scale(predictions: Predictions) -> tuple[NDArray[np.float64], float]:
    """Return what errors of each target are divided by, and the unit of an error.

    Returns
    -------
    scale : float64 array [T]
        Standard deviation of each target; see `spread_of`.
    unit : float
        That of the only target, or 1 with several targets, whose errors have no common unit.
    """
    scale = spread_of(predictions.require_labels("scale"))
    return scale, float(scale[0]) if len(scale) == 1 else 1.0


def error_products(predictions: Predictions) -> Matrix:
    """Return the mean products of the standardized errors of the members, float64 `[M, M]`.

    With weights that sum to 1, the error of a weighted mean is the weighted mean of those of the members, so
    that its mean square is the product of this matrix with the weights from both sides.
    """
    labels, (scale, _) = predictions.require_labels("errors"), target_scale(predictions)
    members, rows, targets = predictions.logits.shape
    products = np.zeros((members, members))
    step = max(1, TILE // (members * targets))
    for start in range(0, rows, step):
        span = slice(start, start + step)
        errors = ((predictions.logits[:, span] - labels[span]) / scale).reshape(members, -1)
        products += errors @ errors.T
    return products / (rows * targets)


def weight_products(predictions: Predictions) -> Matrix:
    """Return `error_products` for a search among weights, which huge errors would make ill-conditioned.

    A member whose error is 100,000 times that of the best member gets twice the error of the best member and
    an independent error in place of its own, so that its best weight is zero.
    """
    products = error_products(predictions)
    own = np.diag(products)
    best = int(own.argmin())
    hopeless = own > HOPELESS * own[best]
    if own[best] > 0 and hopeless.any():
        products[hopeless], products[:, hopeless] = 2 * products[best], 2 * products[best][:, None]
        products[np.ix_(hopeless, hopeless)] = 4 * own[best] * (1 + 9 * np.eye(int(hopeless.sum())))
    return products


def number_search(predictions: Predictions, metric: str, who: str) -> Search:
    """Return a search by a metric of numbers on labeled rows; `who` is the option that names the metric."""
    if metric == "mae":
        return _Absolute(predictions)
    if is_custom(metric):
        mixtures = number_mixtures(predictions, metric, who)
        largest = float(np.abs(mixtures.scores(np.eye(len(predictions.members)))).max())
        return WeightSearch(mixtures, largest or 1.0)
    unit = target_scale(predictions)[1]
    if metric == "rmse":
        return ProductSearch(
            error_products(predictions), lambda score: unit * float(np.sqrt(-score)), unit=unit
        )
    return ProductSearch(error_products(predictions), lambda score: 1 + score, 1)


def number_mixtures(predictions: Predictions, metric: str, who: str) -> NumberMixtures:
    """Return the mixtures of members with their mean absolute error, or with a function of the user."""
    if is_custom(metric):
        return CustomMixtures(predictions, CustomNumberMetric.load(metric, who))
    return NumberMixtures(predictions)


class _Absolute(Search):
    """Search by the mean absolute error, from the sum of the chosen members."""

    sign = -1

    def __init__(self, predictions: Predictions) -> None:
        scale, self.unit = target_scale(predictions)
        self._values = np.asarray(predictions.logits / scale, np.float64)
        self._labels = predictions.require_labels("search") / scale
        self.clear()

    def clear(self) -> None:
        self._sum, self._votes = np.zeros_like(self._labels), 0

    def move(self, member: int, votes: int) -> None:
        self._sum += votes * self._values[member]
        self._votes += votes

    def scores(self, members: NDArray[np.int64], votes: int) -> NDArray[np.float64]:
        count = self._votes + votes
        means = ((self._sum + votes * self._values[member]) / count for member in members)
        return _mean_errors(means, self._labels)

    def value(self, score: float) -> float:
        return -self.unit * score


class NumberMixtures:
    """Weighted means of members and their mean absolute error, for a search among weights.

    Attributes
    ----------
    weights : float32 array [M]
        The current weights, of any sum above zero.
    sign : int
        -1, since smaller errors are better.
    """

    sign = -1

    def __init__(self, predictions: Predictions) -> None:
        scale, self._unit = target_scale(predictions)
        self._values = np.asarray(predictions.logits / scale, np.float64)
        self._labels = predictions.require_labels("mixture") / scale
        self.weights = np.zeros(len(predictions.members), np.float32)

    def move(self, weights: NDArray[np.floating]) -> None:
        """Set the current weights `[M]`."""
        self.weights = weights.astype(np.float32)

    def scores(self, weights: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the score of each row of weights `[S, M]`; larger is better."""
        return self._unit * _mean_errors(self._means(weights), self._labels)

    def _means(self, weights: NDArray[np.floating]) -> Iterable[NDArray[np.float64]]:
        shares = weights / weights.sum(axis=1, keepdims=True)
        return (np.tensordot(share, self._values, axes=1) for share in shares.astype(np.float64))


class CustomMixtures(NumberMixtures):
    """Weighted means of members, and a function of the user of them."""

    def __init__(self, predictions: Predictions, metric: CustomNumberMetric) -> None:
        super().__init__(predictions)
        self._scale = target_scale(predictions)[0]
        self._metric, self.sign = metric, 1 if metric.higher_is_better else -1

    def scores(self, weights: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the score of each row of weights `[S, M]`; larger is better."""
        truth = self._labels * self._scale
        values = [self._metric.value(mean * self._scale, truth) for mean in self._means(weights)]
        return self.sign * np.array(values)


def _mean_errors(means: Iterable[NDArray[np.float64]], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return negative mean absolute errors; without the last digits, equal members have equal ones."""
    return np.array([-np.round(np.abs(mean - labels).mean(), 12) for mean in means])

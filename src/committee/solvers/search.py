"""Incremental search for subsets of members: the scores of all single additions or removals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from committee.base.objectives import AUTO
from committee.metrics.objectives import Objective
from committee.solvers.brier import residual_products
from committee.solvers.columns import columns
from committee.solvers.mixture import COUNT_METRICS, Mixture
from committee.solvers.pooled import Pooled
from committee.solvers.simplex import Matrix

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

TILE = 2**12
SMALLEST = np.float32(1e-30)


class Search(ABC):
    """A multiset of members, and the score of their mean probability on some rows; larger is better.

    Attributes
    ----------
    sign : int
        1 if larger values of the metric are better, and -1 otherwise.
    unit : float
        The unit of the metric, of which differences that do not matter are a small part.

    See Also
    --------
    search_for : Create the search for a metric.
    committee.combiners.GreedySelection, committee.pruning.GreedyForward : Methods that use it.
    """

    sign: int
    unit: float = 1.0

    @abstractmethod
    def clear(self) -> None:
        """Remove all members."""

    @abstractmethod
    def move(self, member: int, votes: int) -> None:
        """Add a member `votes` times, or remove it with negative `votes`."""

    @abstractmethod
    def scores(self, members: NDArray[np.int64], votes: int) -> NDArray[np.float64]:
        """Return the scores after adding each of some members, one at a time, `votes` times."""

    @abstractmethod
    def value(self, score: float) -> float:
        """Return the metric that corresponds to a score."""


class Mixtures(Protocol):
    """Mixtures of the members with any weights, and a metric of them.

    Attributes
    ----------
    sign : int
        1 if larger values of the metric are better, and -1 otherwise.
    weights : float32 array [M]
        The current weights, of any sum.
    """

    sign: int
    weights: NDArray[np.float32]

    def move(self, weights: NDArray[np.float32], /) -> None:
        """Set the current weights."""

    def scores(self, weights: NDArray[np.float32], /) -> NDArray[np.float64]:
        """Return the score of each row of weights `[S, M]`; larger is better."""


def search_for(predictions: Predictions, metric: str, who: str = "search.metric") -> Search:
    """Return a search by a metric on labeled rows; see `committee.metrics.objectives`.

    Raises
    ------
    UsageError
        The metric is unknown; `who` is the option that names it.
    """
    if metric == "log_loss":
        return _LogLoss(predictions)
    if metric == "brier":
        products = residual_products(columns(predictions), predictions.require_labels("search"))
        return ProductSearch(products, lambda score: -score)
    return WeightSearch(mixture_for(predictions, metric, who))


def mixture_for(
    predictions: Predictions, metric: str, who: str, space: str = "probability"
) -> Mixture | Pooled:
    """Return the mixtures of members with the metric, for a search among weights."""
    known, labels = columns(predictions), predictions.require_labels("search")
    if metric in COUNT_METRICS:
        return Mixture(known, labels, metric, space)
    return Pooled(known, labels, Objective.named(metric, who), space)


def evaluation_seconds(metric: str, rows: int, classes: int, members: int) -> float:
    """Return about how long one score of a search takes, in seconds."""
    if metric in ("brier", "rmse", "r2"):
        return 1e-6
    if metric in (AUTO, "log_loss", "mae"):
        return 4e-9 * rows
    if metric in COUNT_METRICS:
        return 2e-8 * rows * (1 + members * classes / 2000)
    return rows * classes * (2e-7 + 1e-8 * members)


class _LogLoss(Search):
    """Search by log-loss, which depends on the probabilities of the labels `[M, N]` only."""

    sign = -1

    def __init__(self, predictions: Predictions) -> None:
        label = columns(predictions).label
        self._shift = label.max(axis=0)
        # A factor of a row does not matter. Relative to the best member, float32 is precise enough, and the
        # floor keeps values above zero.
        self._probs = np.subtract(label, self._shift)
        np.exp(np.maximum(self._probs, np.float32(-69.0), out=self._probs), out=self._probs)
        self.clear()

    def clear(self) -> None:
        self._sum, self._votes = np.zeros(len(self._shift), np.float32), 0

    def move(self, member: int, votes: int) -> None:
        self._sum += np.float32(votes) * self._probs[member]
        self._votes += votes

    def scores(self, members: NDArray[np.int64], votes: int) -> NDArray[np.float64]:
        total = np.zeros(len(members))
        for start in range(0, len(self._sum), TILE):
            span = slice(start, start + TILE)
            candidates = self._probs[members, span]
            if votes != 1:
                candidates *= np.float32(votes)
            candidates += self._sum[span]
            if votes < 0:  # the rest can be a rounding error if the removed member dominated the sum
                np.maximum(candidates, SMALLEST, out=candidates)
            total += np.log(candidates, out=candidates).sum(axis=1)
        return total / len(self._sum) - np.log(self._votes + votes)

    def value(self, score: float) -> float:
        return -score - float(self._shift.mean(dtype=np.float64))


class ProductSearch(Search):
    """Search by a mean square, which depends on the products of the members' residuals only.

    Parameters
    ----------
    products : float64 array [M, M]
        Mean products of the residuals of the members.
    metric : callable
        From a score, which is a negative mean square, to the metric.
    sign : {1, -1}
        Whether larger values of the metric are better.
    unit : float
        The unit of the metric.
    """

    def __init__(
        self, products: Matrix, metric: Callable[[float], float], sign: int = -1, unit: float = 1.0
    ) -> None:
        self._products, self._metric, self.sign, self.unit = products, metric, sign, unit
        self.clear()

    def clear(self) -> None:
        self._votes = np.zeros(len(self._products))

    def move(self, member: int, votes: int) -> None:
        self._votes[member] += votes

    def scores(self, members: NDArray[np.int64], votes: int) -> NDArray[np.float64]:
        cross = self._products @ self._votes
        own = self._products[members, members]
        squares = cross @ self._votes + 2 * votes * cross[members] + votes**2 * own
        # Without the last digits, equal members have equal scores, whatever the order of the sums.
        return -np.round(squares / (self._votes.sum() + votes) ** 2, 12)

    def value(self, score: float) -> float:
        return self._metric(score)


class WeightSearch(Search):
    """Search by a metric of mixtures, which need not depend on sums of the members."""

    def __init__(self, mixture: Mixtures, unit: float = 1.0) -> None:
        self._mixture, self.sign, self.unit = mixture, mixture.sign, unit
        self._steps = np.eye(len(mixture.weights), dtype=np.float32)

    def clear(self) -> None:
        self._mixture.move(np.zeros_like(self._mixture.weights))

    def move(self, member: int, votes: int) -> None:
        self._mixture.move(self._mixture.weights + votes * self._steps[member])

    def scores(self, members: NDArray[np.int64], votes: int) -> NDArray[np.float64]:
        return self._mixture.scores(self._mixture.weights + votes * self._steps[members])

    def value(self, score: float) -> float:
        return self.sign * score

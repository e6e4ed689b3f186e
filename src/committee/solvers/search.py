"""Incremental search for subsets of members: the scores of all single additions or removals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from committee.solvers.columns import columns
from committee.solvers.mixture import COUNT_METRICS, Mixture

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

METRICS = ("log_loss", *COUNT_METRICS)
TILE = 2**12
SMALLEST = np.float32(1e-30)


class Search(ABC):
    """A multiset of members, and the score of their mean probability on some rows; larger is better.

    See Also
    --------
    search_for : Create the search for a metric.
    committee.combiners.GreedySelection, committee.pruning.GreedyForward : Methods that use it.
    """

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


def search_for(predictions: Predictions, metric: str) -> Search:
    """Return a search by `log_loss`, `accuracy` or `f1_macro` on labeled rows."""
    return _LogLoss(predictions) if metric == "log_loss" else _Counts(predictions, metric)


class _LogLoss(Search):
    """Search by log-loss, which depends on the probabilities of the labels `[M, N]` only."""

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


class _Counts(Search):
    """Search by a metric of counts: accuracy or F1."""

    def __init__(self, predictions: Predictions, metric: str) -> None:
        labels = predictions.require_labels("search")
        self._mixture = Mixture(predictions.logits, columns(predictions), labels, metric)
        self._steps = np.eye(len(predictions.members), dtype=np.float32)

    def clear(self) -> None:
        self._mixture.move(np.zeros_like(self._mixture.weights))

    def move(self, member: int, votes: int) -> None:
        self._mixture.move(self._mixture.weights + votes * self._steps[member])

    def scores(self, members: NDArray[np.int64], votes: int) -> NDArray[np.float64]:
        return self._mixture.scores(self._mixture.weights + votes * self._steps[members])

    def value(self, score: float) -> float:
        return score

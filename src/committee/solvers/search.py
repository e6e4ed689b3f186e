"""A committee while members come and go: what score each that may come or go would make."""

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
    """The votes of each member, and the score of their mean probability on some rows: larger is better."""

    @abstractmethod
    def clear(self) -> None:
        """Take all votes back."""

    @abstractmethod
    def move(self, member: int, votes: int) -> None:
        """Give a member so many votes more."""

    @abstractmethod
    def scores(self, members: NDArray[np.int64], votes: int) -> NDArray[np.float64]:
        """Return the score that giving each of some members, alone, so many votes more would make."""

    @abstractmethod
    def value(self, score: float) -> float:
        """Return the metric of which this is the score."""


def search_for(predictions: Predictions, metric: str) -> Search:
    """Return the search by `log_loss`, `accuracy` or `f1_macro` on labeled rows."""
    return _LogLoss(predictions) if metric == "log_loss" else _Counts(predictions, metric)


class _LogLoss(Search):
    """All members at once; only the label's probability `[M, N]` matters."""

    def __init__(self, predictions: Predictions) -> None:
        label = columns(predictions).label
        self._shift = label.max(axis=0)
        # A row's scale is free; with its best member at one, float32 is enough, and zero never occurs.
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
            if votes < 0:  # what is left when the only one that knew the row goes is rounding
                np.maximum(candidates, SMALLEST, out=candidates)
            total += np.log(candidates, out=candidates).sum(axis=1)
        return total / len(self._sum) - np.log(self._votes + votes)

    def value(self, score: float) -> float:
        return -score - float(self._shift.mean(dtype=np.float64))


class _Counts(Search):
    """Members by a metric of counts."""

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

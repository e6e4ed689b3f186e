"""Weighted mixtures of members, with a fast search among nearby weights by accuracy or F1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.solvers.candidates import ROUNDING, Candidates, Places, Runs, candidates, tiles
from committee.solvers.columns import Columns
from committee.solvers.pools import TIE

Counts = NDArray[np.int64]
Classes = NDArray[Any]
Values = NDArray[np.float32]
Parts = Iterator[tuple[Places, Runs]]
Guesses = Iterator[tuple[Classes, Classes]]
TILE = 2**18


def _accuracy(right: Counts, predicted: Counts, actual: Counts) -> float:
    return float(right.sum() / actual.sum())


def _balanced_accuracy(right: Counts, predicted: Counts, actual: Counts) -> float:
    return float((right[actual > 0] / actual[actual > 0]).mean())


def _f1_macro(right: Counts, predicted: Counts, actual: Counts) -> float:
    total = predicted + actual
    return float((2 * right[total > 0] / total[total > 0]).mean())


def _mean_iou(right: Counts, predicted: Counts, actual: Counts) -> float:
    union = predicted + actual - right
    return float((right[union > 0] / union[union > 0]).mean())


COUNT_METRICS: dict[str, Callable[[Counts, Counts, Counts], float]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "f1_macro": _f1_macro,
    "mean_dice": _f1_macro,
    "mean_iou": _mean_iou,
}
"""The metrics that depend on the predicted classes only, as functions of counts by class."""
OF_ROWS = ("accuracy", "balanced_accuracy")
"""Those that are sums over correct rows."""


class Mixture:
    """The weighted sum of the members' probabilities on N rows, and its predicted classes.

    Only a few classes of each row, its candidates, can be predicted with weights near the current ones. They
    are found in one pass over the `[M, N, C]` array, which is repeated when weights move too far, and their
    values are kept. The members are evaluated again only on rows in which the predicted class could change.
    If candidates are too many, as without weights, all classes are evaluated. Of tied classes, the first is
    predicted, as by `committee.solvers.pools`.

    Parameters
    ----------
    known : Columns
        The columns of the logits.
    labels : int64 [N]
    metric : str
        A key of `COUNT_METRICS`.
    space : str
        `probability`, or `logit` to add log-probabilities instead of probabilities.

    Attributes
    ----------
    weights : float32 array [M]
        The current weights.
    sign : int
        1: larger values of the metric are better.

    See Also
    --------
    committee.combiners.Weighted : The combiner that uses this search.
    committee.solvers.pooled.Pooled : The same for other metrics.
    """

    sign = 1

    def __init__(
        self, known: Columns, labels: NDArray[np.int64], metric: str, space: str = "probability"
    ) -> None:
        members, _, classes = known.shape
        self._known, self._labels, self._metric, self._space = known, labels, metric, space
        self._actual = np.bincount(labels, minlength=classes)
        # Some metrics are a sum over correct rows with these weights.
        self._row_weight = _row_weights(metric, labels, self._actual) if metric in OF_ROWS else None
        self._divisor = len(labels) if metric == "accuracy" else 1
        self.weights = np.zeros(members, np.float32)
        self._near: Candidates | None = None

    def move(self, weights: NDArray[np.floating]) -> None:
        """Set the weights `[M]`, which must not be negative."""
        change = weights.astype(np.float32) - self.weights
        self.weights = self.weights + change
        if self._near is not None:
            for member in np.flatnonzero(change).tolist():
                self._total += change[member] * self._near.values[member]

    def scores(self, others: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the metric for other weights `[S, M]`, which must not be negative."""
        tried = others.astype(np.float32)
        if self._near is None or not self._near.cover(np.vstack([tried, self.weights])):
            self._look(tried)
        # Without the last digits, sums of the same terms in another order are equal.
        return np.round(self._of_all(tried) if self._near is None else self._of_near(self._near, tried), 12)

    def _look(self, tried: Values) -> None:
        """Find the candidates near the current weights."""
        self._near = candidates(self._known, self._space, self.weights, tried)
        if self._near is None:
            return
        self._high = self._near.values.max(axis=0)
        self._peak = np.maximum.reduceat(self._high, self._near.runs.start)
        self._total = self.weights @ self._near.values

    def _of_all(self, tried: Values) -> NDArray[np.float64]:
        """Return the metric for other weights, with all classes of all rows."""
        members, rows, classes = self._known.shape
        guesses = np.empty((len(tried), rows), np.int32)
        for span, tile in tiles(self._known, self._space):
            total = (tried @ tile.reshape(members, -1)).reshape(len(tried), -1, classes)
            top = total.max(axis=2)
            slack = top if self._space == "probability" else tried.sum(axis=1)[:, None]
            guesses[:, span] = (total >= (top - np.float32(TIE) * slack)[..., None]).argmax(axis=2)
        if self._row_weight is None:
            return np.array([self._metric_of(*self._counts(each, self._labels)) for each in guesses])
        return (guesses == self._labels) @ self._row_weight / self._divisor

    def _of_near(self, near: Candidates, tried: Values) -> NDArray[np.float64]:
        """Return the metric for other weights, with the candidates of rows that could change."""
        change = tried - self.weights
        up, down = (np.maximum(each, 0).sum(axis=1).max() for each in (change, -change))
        most = max(tried.sum(axis=1).max(), self.weights.sum())
        top = np.maximum.reduceat(self._total, near.runs.start)
        # A total grows by at most `up` times its highest value, and the top falls by at most `down` times it.
        slack = np.float32(ROUNDING) * (1 + top) + np.float32(2 * TIE) * most
        floor = np.repeat(top - down * self._peak - slack, near.runs.count)
        places = np.flatnonzero(self._total + up * self._high >= floor)
        runs = Runs.of(np.bincount(near.row[places], minlength=len(top)))
        guess = near.which[places[self._predicted(runs, self._total[places], self.weights)]]
        places, runs = runs.several(places)
        parts = ((places[part], each) for part, each in runs.tiles(TILE // len(self.weights)))
        guesses = self._guesses(near, parts, tried)
        return (self._sums if self._row_weight is not None else self._of_counts)(guesses, guess, len(tried))

    def _sums(self, changed: Guesses, guess: Classes, tried: int) -> NDArray[np.float64]:
        """Return the sums of the weights of correct rows for each of the weights tried, `[S]`."""
        assert self._row_weight is not None
        weight = self._row_weight
        result = np.full(tried, weight[guess == self._labels].sum())
        for row, guesses in changed:
            right = guesses == self._labels[row]
            result += right @ weight[row] - weight[row] @ (guess[row] == self._labels[row])
        return result / self._divisor

    def _of_counts(self, changed: Guesses, guess: Classes, tried: int) -> NDArray[np.float64]:
        """Return a metric of counts by class for each of the weights tried, `[S]`."""
        counts = np.repeat(self._counts(guess, self._labels)[None], tried, axis=0)
        for row, guesses in changed:
            label = self._labels[row]
            before = self._counts(guess[row], label)
            counts += np.stack([self._counts(each, label) for each in guesses]) - before
        return np.array([self._metric_of(*each) for each in counts])

    def _guesses(self, near: Candidates, parts: Parts, tried: Values) -> Guesses:
        """Yield rows `[R]`, and their predicted classes `[S, R]` for each of the weights tried."""
        for places, runs in parts:
            values, classes = near.values[:, places], near.which[places]
            first = [self._predicted(runs, w @ values, w) for w in tried]
            yield near.row[places[runs.start]], np.stack([classes[each] for each in first])

    def _predicted(self, runs: Runs, total: NDArray[np.float32], weights: NDArray[np.float32]) -> Places:
        """Return the position of the first class of each run that is tied with the highest total."""
        top = np.maximum.reduceat(total, runs.start)
        slack = np.abs(top) if self._space == "probability" else weights.sum()
        return runs.first(total, top - np.float32(TIE) * slack)

    def _counts(self, guess: Classes, label: Classes) -> Counts:
        """Return how often each class is predicted correctly, and predicted, `[2, C]`."""
        return np.stack(
            [np.bincount(each, minlength=len(self._actual)) for each in (guess[guess == label], guess)]
        )

    def _metric_of(self, right: Counts, predicted: Counts) -> float:
        return COUNT_METRICS[self._metric](right, predicted, self._actual)


def _row_weights(metric: str, labels: Classes, actual: Counts) -> NDArray[np.float64]:
    """Return the weight of each row `[N]`: the accuracy counts rows, the balanced accuracy classes."""
    if metric == "accuracy":
        return np.ones(len(labels))
    return 1 / (actual[labels] * np.count_nonzero(actual))

"""Weighted mixtures of members, with a fast search among nearby weights by accuracy or F1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.solvers.columns import Columns, spans
from committee.solvers.pools import TIE

Counts = NDArray[np.int64]
Places = NDArray[np.int64]
Classes = NDArray[Any]
Parts = Iterator[tuple[Places, "Runs"]]
TILE = 2**18
MOST_CACHED = 2**21
"""Largest number of values of members at candidates that are kept in memory (8 MB)."""
ROUNDING = 2e-5


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

    If every member gives one class a higher probability than another, so does every mixture with non-negative
    weights. Therefore only a few classes of each row, its candidates, can be predicted: the best class of the
    summed logits, and the classes that some member rates at least as high. All other values of the
    `[M, N, C]` array are read once. The members are evaluated again only on rows in which the predicted class
    could change. Of tied classes, the first is predicted, as by `committee.solvers.pools`.

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
        self._row, self._class, self._runs = _candidates(known)
        self._actual = np.bincount(labels, minlength=classes)
        # Some metrics are a sum over correct rows with these weights.
        self._row_weight = _row_weights(metric, labels, self._actual) if metric in OF_ROWS else None
        self.weights = np.zeros(members, np.float32)
        self._total = np.zeros(len(self._row), np.float32)
        self._cached: NDArray[np.float32] | None = None
        self._low = np.zeros(len(labels), np.float32)
        if space == "logit":
            self._low = self._lowest()
        if members * len(self._row) <= MOST_CACHED:
            self._cached = np.stack([self._read(member, slice(None)) for member in range(members)])
        self._high = np.zeros(len(self._row), np.float32)
        for member in range(members):
            np.maximum(self._high, self._values(member, slice(None)), out=self._high)
        self._peak = np.maximum.reduceat(self._high, self._runs.start)

    def move(self, weights: NDArray[np.floating]) -> None:
        """Set the weights `[M]`, which must not be negative."""
        if not weights.any():
            self.weights, self._total[:] = np.zeros_like(self.weights), 0
            return
        change = weights.astype(np.float32) - self.weights
        for member in np.flatnonzero(change).tolist():
            for start in range(0, len(self._row), TILE):
                part = slice(start, start + TILE)
                self._total[part] += change[member] * self._values(member, part)
        self.weights = self.weights + change

    def scores(self, others: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the metric for other weights `[S, M]`, which must not be negative."""
        tried = others.astype(np.float32)
        change = tried - self.weights
        up, down = (np.maximum(each, 0).sum(axis=1).max() for each in (change, -change))
        most = max(tried.sum(axis=1).max(), self.weights.sum())
        top = np.maximum.reduceat(self._total, self._runs.start)
        # A total grows by at most `up` times its highest value, and the top falls by at most `down` times it.
        slack = np.float32(ROUNDING) * (1 + top) + np.float32(2 * TIE) * most
        floor = np.repeat(top - down * self._peak - slack, self._runs.count)
        places = np.flatnonzero(self._total + up * self._high >= floor)
        near = Runs.of(np.bincount(self._row[places], minlength=len(top)))
        guess = self._class[places[self._predicted(near, self._total[places], self.weights)]]
        places, near = near.several(places)
        parts = ((places[part], runs) for part, runs in near.tiles(TILE // len(self.weights)))
        changed = (
            self._sums(parts, guess, tried)
            if self._row_weight is not None
            else self._of_counts(parts, guess, tried)
        )
        # Without the last digits, sums of the same terms in another order are equal.
        return np.round(changed, 12)

    def _sums(self, parts: Parts, guess: Classes, tried: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the sums of the weights of correct rows for each of the weights tried, `[S]`."""
        assert self._row_weight is not None
        weight = self._row_weight
        result = np.full(len(tried), weight[guess == self._labels].sum())
        for row, guesses in self._guesses(parts, tried):
            right = guesses == self._labels[row]
            result += right @ weight[row] - weight[row] @ (guess[row] == self._labels[row])
        return result / (len(self._labels) if self._metric == "accuracy" else 1)

    def _of_counts(self, parts: Parts, guess: Classes, tried: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a metric of counts by class for each of the weights tried, `[S]`."""
        counts = np.repeat(self._counts(guess, self._labels)[None], len(tried), axis=0)
        for row, guesses in self._guesses(parts, tried):
            label = self._labels[row]
            before = self._counts(guess[row], label)
            counts += np.stack([self._counts(each, label) for each in guesses]) - before
        metric = COUNT_METRICS[self._metric]
        return np.array([metric(right, predicted, self._actual) for right, predicted in counts])

    def _guesses(self, parts: Parts, tried: NDArray[np.float32]) -> Iterator[tuple[Classes, Classes]]:
        """Yield rows `[R]`, and their predicted classes `[S, R]` for each of the weights tried."""
        for places, runs in parts:
            values = np.stack([self._values(member, places) for member in range(len(self.weights))])
            classes = self._class[places]
            first = [self._predicted(runs, w @ values, w) for w in tried]
            yield self._row[places[runs.start]], np.stack([classes[each] for each in first])

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

    def _values(self, member: int, places: Places | slice) -> NDArray[np.float32]:
        """Return the values of a member at some entries."""
        return self._read(member, places) if self._cached is None else self._cached[member, places]

    def _read(self, member: int, places: Places | slice) -> NDArray[np.float32]:
        row = self._row[places]
        values = self._known.values(member, row, self._class[places])
        values -= self._known.normalizer[member].take(row)
        # In both spaces, values are at least 0; what all candidates of a row have in common changes nothing.
        return values - self._low.take(row) if self._space == "logit" else np.exp(values, out=values)

    def _lowest(self) -> NDArray[np.float32]:
        """Return the lowest value of any candidate of a row to any member."""
        low = np.full(len(self._labels), np.inf, np.float32)
        for member in range(len(self.weights)):
            np.minimum(low, np.minimum.reduceat(self._read(member, slice(None)), self._runs.start), out=low)
        return low


def _row_weights(metric: str, labels: Classes, actual: Counts) -> NDArray[np.float64]:
    """Return the weight of each row `[N]`: the accuracy counts rows, the balanced accuracy classes."""
    if metric == "accuracy":
        return np.ones(len(labels))
    return 1 / (actual[labels] * np.count_nonzero(actual))


@dataclass(frozen=True, eq=False)
class Runs:
    """Consecutive runs of positions.

    Attributes
    ----------
    start, count : int64 array
        First position and length of each run.
    """

    start: NDArray[np.int64]
    count: NDArray[np.int64]

    @classmethod
    def of(cls, count: NDArray[np.int64]) -> Runs:
        """Create runs from their lengths."""
        return cls(np.cumsum(count) - count, count)

    def first(self, values: NDArray[np.float32], floor: NDArray[np.float32]) -> Places:
        """Return the first position of each run with a value of at least the floor of the run."""
        found = np.flatnonzero(values >= np.repeat(floor, self.count))
        return found if len(found) == len(floor) else found[np.searchsorted(found, self.start)]

    def several(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], Runs]:
        """Return the positions in runs of length two or more, and these runs."""
        several = self.count > 1
        return places[np.repeat(several, self.count)], Runs.of(self.count[several])

    def tiles(self, most: int) -> Iterator[tuple[slice, Runs]]:
        """Yield slices of about `most` positions, and the runs in each slice."""
        ends = np.flatnonzero(np.diff(self.start // most, append=-1)) + 1
        for low, high in zip([0, *ends[:-1]], ends, strict=False):
            runs, begin = Runs.of(self.count[low:high]), self.start[low]
            yield slice(begin, begin + runs.count.sum()), runs


def _candidates(known: Columns) -> tuple[Classes, Classes, Runs]:
    """Return row and class of the candidates, in the order of rows; those of a row form a run."""
    members, rows, classes = known.shape
    found = []
    for span in spans(rows, members * classes):
        tile = known.tile(range(members), span)
        base = tile.sum(axis=0).argmax(axis=1)
        level = np.take_along_axis(tile, base[None, :, None], axis=2) - np.float32(ROUNDING)
        row, which = np.nonzero((tile >= level).any(axis=0))
        found.append(np.stack([row + span.start, which]).astype(np.int32))
    row, which = np.concatenate(found, axis=1)
    return row, which, Runs.of(np.bincount(row, minlength=rows))

"""Weighted mixtures of members, with a fast search among nearby weights by accuracy or F1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from committee.solvers.columns import Columns

Counts = NDArray[np.int64]
TILE = 2**18
ROUNDING = 1e-5


def _accuracy(right: Counts, predicted: Counts, actual: Counts) -> float:
    return float(right.sum() / actual.sum())


def _f1_macro(right: Counts, predicted: Counts, actual: Counts) -> float:
    total = predicted + actual
    return float((2 * right[total > 0] / total[total > 0]).mean())


COUNT_METRICS: dict[str, Callable[[Counts, Counts, Counts], float]] = {
    "accuracy": _accuracy,
    "f1_macro": _f1_macro,
}


def count_score(metric: str, guess: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> float:
    """Return `metric` of the predicted classes `guess` [N]."""
    right, predicted, actual = (
        np.bincount(values, minlength=classes) for values in (labels[guess == labels], guess, labels)
    )
    return COUNT_METRICS[metric](right, predicted, actual)


class Mixture:
    """The weighted sum of the members' probabilities on N rows, and its predicted classes.

    If every member gives one class a higher probability than another, so does every mixture with non-negative
    weights. Therefore only a few classes of each row, its candidates, can be predicted: the best class of the
    summed logits, and the classes that some member rates at least as high. All other values of the
    `[M, N, C]` array are read once. The members are evaluated again only on rows in which the predicted class
    could change.

    Parameters
    ----------
    logits : float32 [M, N, C]
    known : Columns
        The columns of the logits.
    labels : int64 [N]
    metric : str
        `accuracy` or `f1_macro`.
    space : str
        `probability`, or `logit` to add log-probabilities instead of probabilities.

    Attributes
    ----------
    weights : float32 array [M]
        The current weights.

    See Also
    --------
    committee.combiners.Weighted : The combiner that uses this search.
    """

    def __init__(
        self,
        logits: NDArray[np.float32],
        known: Columns,
        labels: NDArray[np.int64],
        metric: str,
        space: str = "probability",
    ) -> None:
        self._logits, self._normalizer, self._labels = logits, known.normalizer, labels
        self._metric, self._space, self._classes = COUNT_METRICS[metric], space, logits.shape[2]
        self._entry, self._runs = _candidates(logits)
        self._row = np.repeat(np.arange(len(labels), dtype=np.int32), self._runs.count)
        self._actual = self._bins(labels)
        self.weights = np.zeros(len(logits), np.float32)
        self._total = np.zeros(len(self._entry), np.float32)
        self._range = self._ranges()

    def move(self, weights: NDArray[np.floating]) -> None:
        """Set the weights `[M]`, which must not be negative."""
        change = weights.astype(np.float32) - self.weights
        for member in np.flatnonzero(change).tolist():
            for start in range(0, len(self._entry), TILE):
                part = slice(start, start + TILE)
                self._total[part] += change[member] * self._values(member, self._row[part], self._entry[part])
        self.weights = self.weights + change

    def scores(self, others: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the metric for other weights `[S, M]`, which must not be negative."""
        tried = others.astype(np.float32)
        reach = np.abs(tried - self.weights).sum(axis=1).max()
        top = np.maximum.reduceat(self._total, self._runs.start)
        floor = top - reach * self._range - np.float32(ROUNDING) * (1 + np.abs(top))
        places = np.flatnonzero(self._total >= floor[self._row])
        near = Runs.of(np.bincount(self._row[places], minlength=len(top)))
        guess = self._entry[places[near.largest(self._total[places])[1]]] % self._classes
        changes = np.zeros((len(tried), 2, self._classes), np.int64)
        places, near = near.several(places)
        for part, runs in near.tiles(TILE // len(self.weights)):
            changes += self._changes(places[part], runs, guess, tried)
        counts = [self._bins(guess[guess == self._labels]), self._bins(guess)]
        return np.array(
            [self._metric(right, predicted, self._actual) for right, predicted in changes + np.stack(counts)]
        )

    def _changes(
        self, places: NDArray[np.int64], runs: Runs, guess: NDArray[np.int64], tried: NDArray[np.float32]
    ) -> Counts:
        """Return the changes of the counts, `[S, (right, predicted), C]`, on some rows."""
        row, entry = self._row[places], self._entry[places]
        values = np.stack([self._values(member, row, entry) for member in range(len(self.weights))])
        row, classes = row[runs.start], entry % self._classes
        guesses = [guess[row], *(classes[runs.largest(total)[1]] for total in tried @ values)]
        label = self._labels[row]
        before, *after = (np.stack([self._bins(g[g == label]), self._bins(g)]) for g in guesses)
        return np.stack(after) - before

    def _values(self, member: int, row: NDArray[np.int32], entry: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the values of a member at some entries of the given rows."""
        values = self._logits[member].reshape(-1).take(entry)
        values -= self._normalizer[member].take(row)
        return values if self._space == "logit" else np.exp(values, out=values)

    def _ranges(self) -> NDArray[np.float32]:
        """Return the largest difference between candidates of a row to any member, per unit of weight."""
        result = []
        for part, runs in self._runs.tiles(TILE):
            largest = np.zeros(len(runs.start), np.float32)
            for member in range(len(self.weights)):
                values = self._values(member, self._row[part], self._entry[part])
                high, low = (extreme.reduceat(values, runs.start) for extreme in (np.maximum, np.minimum))
                np.maximum(largest, high - low, out=largest)
            result.append(largest)
        return np.concatenate(result)

    def _bins(self, classes: NDArray[np.int64]) -> Counts:
        return np.bincount(classes, minlength=self._classes)


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

    def largest(self, values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the largest value of each run, and its first position."""
        top = np.maximum.reduceat(values, self.start)
        first = np.flatnonzero(values == np.repeat(top, self.count))
        return top, first if len(first) == len(top) else first[np.searchsorted(first, self.start)]

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


def _candidates(logits: NDArray[np.float32]) -> tuple[NDArray[np.int64], Runs]:
    """Return the flat positions of the candidates in `[N, C]`; those of a row form a run."""
    members, rows, classes = logits.shape
    block = max(16, TILE // (members * classes))
    found = []
    for start in range(0, rows, block):
        tile = logits[:, start : start + block]
        base = tile.sum(axis=0).argmax(axis=1)
        level = np.take_along_axis(tile, base[None, :, None], axis=2)
        found.append(np.flatnonzero((tile >= level).any(axis=0)) + start * classes)
    entry = np.concatenate(found)
    return entry, Runs.of(np.bincount(entry // classes, minlength=rows))

"""A mixture of members, and the accuracy or F1 of others near it: only rows that can change are read."""

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
    """The weighted sum of members' probabilities on N rows, and its predicted classes.

    Where every member prefers one class to another, so does every mixture with weights that are not negative.
    So each row has a few contenders: the class that members like best, and those that some member likes at
    least as well. The rest of the `[M, N, C]` array is read only once; and members are read anew only where
    the leading contender could lose its lead.

    Parameters
    ----------
    logits : float32 [M, N, C]
    known : Columns
        What one pass over the logits found.
    labels : int64 [N]
    metric : str
        `accuracy` or `f1_macro`.
    space : str
        `probability`, or `logit` to add log-probabilities.
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
        self._entry, self._runs = _contenders(logits)
        self._row = np.repeat(np.arange(len(labels), dtype=np.int32), self._runs.count)
        self._actual = self._bins(labels)
        self.weights = np.zeros(len(logits), np.float32)
        self._total = np.zeros(len(self._entry), np.float32)
        self._range = self._ranges()

    def move(self, weights: NDArray[np.floating]) -> None:
        """Set the weights `[M]`, none negative."""
        change = weights.astype(np.float32) - self.weights
        for member in np.flatnonzero(change).tolist():
            for start in range(0, len(self._entry), TILE):
                part = slice(start, start + TILE)
                self._total[part] += change[member] * self._values(member, self._row[part], self._entry[part])
        self.weights = self.weights + change

    def scores(self, candidates: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the metric for each of other weights `[S, M]`, none negative."""
        candidates = candidates.astype(np.float32)
        reach = np.abs(candidates - self.weights).sum(axis=1).max()
        top = np.maximum.reduceat(self._total, self._runs.start)
        floor = top - reach * self._range - np.float32(ROUNDING) * (1 + np.abs(top))
        places = np.flatnonzero(self._total >= floor[self._row])
        near = Runs.of(np.bincount(self._row[places], minlength=len(top)))
        guess = self._entry[places[near.largest(self._total[places])[1]]] % self._classes
        changes = np.zeros((len(candidates), 2, self._classes), np.int64)
        places, near = near.several(places)
        for part, runs in near.tiles(TILE // len(self.weights)):
            changes += self._changes(places[part], runs, guess, candidates)
        counts = [self._bins(guess[guess == self._labels]), self._bins(guess)]
        return np.array(
            [self._metric(right, predicted, self._actual) for right, predicted in changes + np.stack(counts)]
        )

    def _changes(
        self, places: NDArray[np.int64], runs: Runs, guess: NDArray[np.int64], candidates: NDArray[np.float32]
    ) -> Counts:
        """Return the changes `[S, (right, predicted), C]` that the candidates make on some rows."""
        row, entry = self._row[places], self._entry[places]
        values = np.stack([self._values(member, row, entry) for member in range(len(self.weights))])
        row, classes = row[runs.start], entry % self._classes
        guesses = [guess[row], *(classes[runs.largest(total)[1]] for total in candidates @ values)]
        label = self._labels[row]
        before, *after = (np.stack([self._bins(g[g == label]), self._bins(g)]) for g in guesses)
        return np.stack(after) - before

    def _values(self, member: int, row: NDArray[np.int32], entry: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a member's values of some entries, whose rows are given too."""
        values = self._logits[member].reshape(-1).take(entry)
        values -= self._normalizer[member].take(row)
        return values if self._space == "logit" else np.exp(values, out=values)

    def _ranges(self) -> NDArray[np.float32]:
        """Return the largest difference of contenders to any member: what a unit of weight can change."""
        result = []
        for part, runs in self._runs.tiles(TILE):
            apart = np.zeros(len(runs.start), np.float32)
            for member in range(len(self.weights)):
                values = self._values(member, self._row[part], self._entry[part])
                high, low = (extreme.reduceat(values, runs.start) for extreme in (np.maximum, np.minimum))
                np.maximum(apart, high - low, out=apart)
            result.append(apart)
        return np.concatenate(result)

    def _bins(self, classes: NDArray[np.int64]) -> Counts:
        return np.bincount(classes, minlength=self._classes)


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs of places that belong together, one after the other: where each starts, and how long it is."""

    start: NDArray[np.int64]
    count: NDArray[np.int64]

    @classmethod
    def of(cls, count: NDArray[np.int64]) -> Runs:
        """Return the runs of these lengths."""
        return cls(np.cumsum(count) - count, count)

    def largest(self, values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the largest value of each run, and the first place that has it."""
        top = np.maximum.reduceat(values, self.start)
        first = np.flatnonzero(values == np.repeat(top, self.count))
        return top, first if len(first) == len(top) else first[np.searchsorted(first, self.start)]

    def several(self, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], Runs]:
        """Return the places, of those given, in runs of two or more, and these runs."""
        long = self.count > 1
        return places[np.repeat(long, self.count)], Runs.of(self.count[long])

    def tiles(self, most: int) -> Iterator[tuple[slice, Runs]]:
        """Yield slices of places, and the runs in there; about `most` places each."""
        ends = np.flatnonzero(np.diff(self.start // most, append=-1)) + 1
        for low, high in zip([0, *ends[:-1]], ends, strict=False):
            runs, begin = Runs.of(self.count[low:high]), self.start[low]
            yield slice(begin, begin + runs.count.sum()), runs


def _contenders(logits: NDArray[np.float32]) -> tuple[NDArray[np.int64], Runs]:
    """Return the contenders' places in `[N, C]`, in their order; those of a row make a run."""
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

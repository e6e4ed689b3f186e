"""A running mixture of members, and what adding a step of one member would do to accuracy or F1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from committee.combiners._columns import Columns

Counts = NDArray[np.int64]
TILE = 2**16


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

    Probabilities lie in [0, 1]: a row whose best class leads by more than `step` cannot change when
    `step` times a member is added, so it is not read. As a mixture grows, few rows are left.

    Parameters
    ----------
    logits : float32 [M, N, C]
    known : Columns
        What one pass over the logits found.
    labels : int64 [N]
    metric : str
        `accuracy` or `f1_macro`.
    space : str
        `probability`, or `logit` to add log-probabilities (which are unbounded: every row is read).
    """

    def __init__(
        self,
        logits: NDArray[np.float32],
        known: Columns,
        labels: NDArray[np.int64],
        metric: str,
        space: str = "probability",
    ) -> None:
        self._logits, self._normaliser, self._labels = logits, known.normaliser, labels
        self._metric, self._space = COUNT_METRICS[metric], space
        rows, self._classes = logits.shape[1:]
        self._sum = np.zeros((rows, self._classes), np.float32)
        self._guess = np.zeros(rows, np.int64)
        self._lead = np.zeros(rows, np.float32)
        self._actual = np.bincount(labels, minlength=self._classes)
        # The largest probability that any member gives a row, with room for rounding.
        self._peak = np.exp(known.top.max(axis=0)) * np.float32(1.001) + np.float32(1e-4)
        if space == "logit":
            self._peak[:] = np.inf

    def add(self, member: int, step: float) -> None:
        """Add `step` times a member."""
        for rows in self._tiles(np.arange(len(self._labels))):
            self._sum[rows] += np.float32(step) * self._values(member, rows)
        self._lead -= abs(step) * self._peak

    def scores(self, moves: list[tuple[int, float]]) -> NDArray[np.float64]:
        """Return the metric after each single move `(member, step)`."""
        reach = max(abs(step) for _, step in moves) * self._peak
        self._refresh(reach)
        counts = np.stack([self._bins(self._guess[self._guess == self._labels]), self._bins(self._guess)])
        changed = np.repeat(counts[None], len(moves), axis=0)
        rows = np.flatnonzero(self._lead <= reach)
        # The less a row leads, the more classes could win it: alike rows share a tile.
        for tile in self._tiles(rows[np.argsort(self._lead[rows])]):
            self._recount(tile, reach[tile], moves, changed)
        return np.array([self._metric(right, predicted, self._actual) for right, predicted in changed])

    def _recount(
        self,
        rows: NDArray[np.int64],
        reach: NDArray[np.float32],
        moves: list[tuple[int, float]],
        changed: Counts,
    ) -> None:
        """Add to the counts `[moves, (right, predicted), C]` what each move changes on some rows."""
        base, label, old = self._sum[rows], self._labels[rows], self._guess[rows]
        classes = self._contenders(base, reach)
        base = base if classes is None else np.take_along_axis(base, classes, axis=1)
        lost = np.stack([self._bins(old[old == label]), self._bins(old)])
        for place, (member, step) in enumerate(moves):
            new = (base + np.float32(step) * self._values(member, rows, classes)).argmax(axis=1)
            new = new if classes is None else classes[np.arange(len(rows)), new]
            changed[place, 0] += self._bins(new[new == label]) - lost[0]
            changed[place, 1] += self._bins(new) - lost[1]

    def _contenders(self, base: NDArray[np.float32], reach: NDArray[np.float32]) -> NDArray[np.int64] | None:
        """Return the classes, in order, that a step could make win; None when they are many."""
        possible = base >= (base.max(axis=1) - reach)[:, None]
        most = int(possible.sum(axis=1).max())
        if most > self._classes // 3:
            return None
        return np.sort(np.argsort(~possible, axis=1, kind="stable")[:, :most], axis=1)

    def _refresh(self, reach: NDArray[np.float32]) -> None:
        """Read the lead and the predicted class anew where the lead known so far does not settle the row."""
        for rows in self._tiles(np.flatnonzero(self._lead <= reach)):
            part = self._sum[rows]
            every = np.arange(len(rows))
            guess = part.argmax(axis=1)
            top = part[every, guess]
            part[every, guess] = -np.inf
            self._guess[rows], self._lead[rows] = guess, top - part.max(axis=1)

    def _values(
        self, member: int, rows: NDArray[np.int64], classes: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        logits = self._logits[member]
        values = logits[rows] if classes is None else logits[rows[:, None], classes]
        values -= self._normaliser[member, rows, None]
        return values if self._space == "logit" else np.exp(values, out=values)

    def _tiles(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        block = max(16, TILE // self._classes)
        return [rows[start : start + block] for start in range(0, len(rows), block)]

    def _bins(self, classes: NDArray[np.int64]) -> Counts:
        return np.bincount(classes, minlength=self._classes)

"""Thresholds of a cascade: the confidence at which a sample exits at each stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEVER = 2.0
"""A threshold that no probability reaches. The lowest threshold of the grid is below all probabilities."""

GRID = np.concatenate([np.linspace(-0.01, 0.98, 100), 1 - np.logspace(-2, -5, 50), [NEVER]])
"""The thresholds that are tried.

The confidences of the rows are not tried: a rounding error in another runtime would move a row that is
exactly at a threshold to another stage. A small grid also limits overfitting.
"""

SWEEPS = 4

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stages:
    """Confidence, correctness and cost of S stages on the N rows that a cascade is tuned on.

    Attributes
    ----------
    passed : int64 array [S, N]
        Number of thresholds of the grid that the highest probability of a row reaches.
    correct : bool array [S, N]
        Whether the predicted class is the label.
    cost : float64 array [S]
        Cost of a row that exits at a stage: that of the members up to this stage.
    """

    passed: Places
    correct: NDArray[np.bool_]
    cost: Floats

    @classmethod
    def of(
        cls, confidence: NDArray[np.float32], correct: NDArray[np.bool_], costs: Sequence[float]
    ) -> Stages:
        """Create stages from their highest probabilities `[S, N]`, and the costs of their members."""
        return cls(np.searchsorted(GRID, confidence, side="right"), correct, np.cumsum(costs))

    def exits(self, level: Places) -> Places:
        """Return the exit stage of each row, int64 `[N]`; all remaining rows exit at the last stage."""
        return self._confident(level).argmax(axis=0)

    def accuracy(self, exits: Places) -> float:
        """Return the accuracy for given exit stages `[N]`."""
        return float(self.correct[exits, np.arange(len(exits))].mean())

    def mean_cost(self, exits: Places) -> float:
        """Return the mean cost of a row for given exit stages `[N]`."""
        return float(self.cost[exits].mean())

    def variations(self, level: Places, stage: int) -> tuple[Floats, Floats]:
        """Return accuracy and mean cost, `[G]` each, for each threshold of the grid at one stage."""
        confident = self._confident(level)
        rows = np.flatnonzero(~confident[:stage].any(axis=0))
        exited = np.setdiff1d(np.arange(confident.shape[1]), rows, assume_unique=True)
        earlier = confident.argmax(axis=0)[exited]
        later = confident[stage + 1 :, rows].argmax(axis=0) + stage + 1
        right, cost = self.correct[later, rows].astype(float), self.cost[later]
        # Rows that reach more than j thresholds exit here at threshold j; the others continue.
        change = np.stack([self.correct[stage, rows] - right, self.cost[stage] - cost])
        by_passed = [np.bincount(self.passed[stage, rows], each, len(GRID) + 1) for each in change]
        exiting = np.cumsum(np.stack(by_passed)[:, ::-1], axis=1)[:, ::-1][:, 1:]
        totals = np.array(
            [self.correct[earlier, exited].sum() + right.sum(), self.cost[earlier].sum() + cost.sum()]
        )
        accuracy, mean = (totals[:, None] + exiting) / confident.shape[1]
        return accuracy, mean

    def _confident(self, level: Places) -> NDArray[np.bool_]:
        confident = self.passed > level[:, None]
        confident[-1] = True
        return confident


def search(stages: Stages, accuracy: float | None, mean_cost: float | None) -> Places:
    """Return good thresholds for a target, as positions in the grid, int64 `[S]`.

    A local search changes the threshold of one stage at a time while this helps. It starts from the best
    threshold that all stages share, and from the threshold at which no row exits early.

    Parameters
    ----------
    stages : Stages
        The rows of the fit.
    accuracy : float or None
        Smallest accuracy; the mean cost is minimized.
    mean_cost : float or None
        Largest mean cost, if `accuracy` is None; the accuracy is maximized. If the first stage alone costs
        more, all rows exit there.
    """

    def rank(right: float, cost: float) -> tuple[float, float, float]:
        if accuracy is not None:
            return (1.0, -cost, right) if right >= accuracy - 1e-12 else (0.0, right, -cost)
        assert mean_cost is not None
        return (1.0, right, -cost) if cost <= mean_cost + 1e-12 else (0.0, -cost, right)

    def of(level: Places) -> tuple[float, float, float]:
        exits = stages.exits(level)
        return rank(stages.accuracy(exits), stages.mean_cost(exits))

    count = len(stages.cost)
    shared = [np.full(count, place) for place in range(len(GRID))]
    starts = max(shared, key=of), shared[-1]
    return max((_climb(stages, start, rank) for start in starts), key=of)


def _climb(stages: Stages, level: Places, rank: Callable[[float, float], tuple[float, ...]]) -> Places:
    """Change the threshold of one stage at a time, while this helps."""
    best: tuple[float, ...] = ()
    for _ in range(SWEEPS):
        before = best
        for stage in range(len(stages.cost) - 1):
            ranks = [rank(*each) for each in zip(*stages.variations(level, stage), strict=True)]
            place = max(range(len(GRID)), key=lambda each: ranks[each])
            if ranks[place] > best:
                best, level = ranks[place], level.copy()
                level[stage] = place
        if best == before:
            break
    return level

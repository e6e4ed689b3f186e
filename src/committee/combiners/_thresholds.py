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
Rank = Callable[[float, float], tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class Stages:
    """Confidence, correctness and cost of S stages on the N rows that a cascade is tuned on.

    Attributes
    ----------
    passed : uint8 array [S, N]
        Number of thresholds of the grid that the highest probability of a row reaches.
    correct : bool array [S, N]
        Whether the predicted class is the label.
    cost : float64 array [S]
        Cost of a row that exits at a stage: that of the members up to this stage.
    """

    passed: NDArray[np.uint8]
    correct: NDArray[np.bool_]
    cost: Floats

    @classmethod
    def of(
        cls, confidence: NDArray[np.float32], correct: NDArray[np.bool_], costs: Sequence[float]
    ) -> Stages:
        """Create stages from their highest probabilities `[S, N]`, and the costs of their members."""
        passed = [np.searchsorted(GRID, each, side="right").astype(np.uint8) for each in confidence]
        return cls(np.stack(passed), correct, np.cumsum(costs))

    def exits(self, level: Places) -> Places:
        """Return the exit stage of each row, int64 `[N]`; all remaining rows exit at the last stage."""
        confident = self.passed > level[:, None]
        confident[-1] = True
        return confident.argmax(axis=0)

    def accuracy(self, exits: Places) -> float:
        """Return the accuracy for given exit stages `[N]`."""
        return float(self.correct[exits, np.arange(len(exits))].mean())

    def mean_cost(self, exits: Places) -> float:
        """Return the mean cost of a row for given exit stages `[N]`."""
        return float(self.cost[exits].mean())

    def shared(self) -> tuple[Floats, Floats]:
        """Return accuracy and mean cost, `[G]` each, for each threshold that all stages share."""
        count, totals = len(self.cost), np.zeros((2, len(GRID) + 1))
        reached = np.zeros_like(self.passed[0])
        for stage in range(count):
            # A row exits here at the thresholds that it reaches here, and at no earlier stage.
            least, reached = reached, np.maximum(reached, self.passed[stage])
            most = reached if stage < count - 1 else np.full_like(reached, len(GRID))
            for total, values in zip(totals, self._values(stage), strict=True):
                total += np.bincount(least, values, len(total)) - np.bincount(most, values, len(total))
        accuracy, mean = np.cumsum(totals, axis=1)[:, :-1] / len(reached)
        return accuracy, mean

    def later(self, level: Places) -> NDArray[np.int16]:
        """Return the first stage after each stage at which a row exits, `[S - 1, N]`."""
        found = np.empty((len(level) - 1, self.passed.shape[1]), np.int16)
        found[-1:] = len(level) - 1
        for stage in range(len(level) - 2, 0, -1):
            found[stage - 1] = np.where(self.passed[stage] > level[stage], stage, found[stage])
        return found

    def variations(
        self, stage: int, rows: Places, later: NDArray[np.int16], exited: Floats
    ) -> tuple[Floats, Floats]:
        """Return accuracy and mean cost, `[G]` each, for each threshold of the grid at one stage.

        Parameters
        ----------
        stage : int
        rows : int64 array [R]
            The rows that reach the stage.
        later : int16 array [N]
            The stage at which each row exits if it does not exit here.
        exited : float64 array [2]
            The number of correct rows, and the cost, of the rows that do not reach the stage.
        """
        after = later[rows]
        staying = np.stack([self.correct[after, rows].astype(float), self.cost[after]])
        # Rows that reach more than j thresholds exit here at threshold j; the others continue.
        change = np.stack([values[rows] for values in self._values(stage)]) - staying
        by_passed = [np.bincount(self.passed[stage, rows], each, len(GRID) + 1) for each in change]
        exiting = np.cumsum(np.stack(by_passed)[:, ::-1], axis=1)[:, ::-1][:, 1:]
        accuracy, mean = ((exited + staying.sum(axis=1))[:, None] + exiting) / len(later)
        return accuracy, mean

    def exit_at(self, stage: int, level: int, rows: Places) -> tuple[Places, Floats]:
        """Return the rows that continue after a stage, and the correct rows and cost of those that exit."""
        confident = self.passed[stage, rows] > level
        exiting = rows[confident]
        return rows[~confident], np.array([values[exiting].sum() for values in self._values(stage)])

    def _values(self, stage: int) -> tuple[Floats, Floats]:
        """Return whether each row is correct, and its cost, if it exits at a stage."""
        right = self.correct[stage].astype(float)
        return right, np.full(len(right), self.cost[stage])


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
    starts = (np.full(count, place) for place in (_first_best(stages.shared(), rank), len(GRID) - 1))
    return max((_climb(stages, start, rank) for start in starts), key=of)


def _first_best(found: tuple[Floats, Floats], rank: Rank) -> int:
    """Return the first threshold of the grid with the best accuracy and mean cost."""
    ranks = [rank(*each) for each in zip(*found, strict=True)]
    return max(range(len(GRID)), key=lambda each: ranks[each])


def _climb(stages: Stages, level: Places, rank: Rank) -> Places:
    """Change the threshold of one stage at a time, while this helps."""
    best: tuple[float, ...] = ()
    for _ in range(SWEEPS):
        before, later = best, stages.later(level)
        rows, exited = np.arange(stages.passed.shape[1]), np.zeros(2)
        for stage in range(len(later)):
            found = stages.variations(stage, rows, later[stage], exited)
            place = _first_best(found, rank)
            reached = rank(found[0][place], found[1][place])
            if reached > best:
                best, level = reached, level.copy()
                level[stage] = place
            rows, more = stages.exit_at(stage, level[stage], rows)
            exited = exited + more
        if best == before:
            break
    return level

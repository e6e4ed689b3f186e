"""Thresholds of a cascade: how sure each stage must be for a sample to leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEVER = 2.0
"""A threshold that no probability reaches; the lowest of the grid is below all."""

GRID = np.concatenate([np.linspace(-0.01, 0.98, 100), 1 - np.logspace(-2, -5, 50), [NEVER]])
"""Thresholds that are tried. A grid and not the rows' own confidences: so no row of the fit stands exactly at
one, where another runtime's rounding would send it to another stage; and few values fit little noise."""

SWEEPS = 4

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stages:
    """What the stages say of rows that a cascade is tuned on; S stages, N rows.

    Attributes
    ----------
    passed : int64 [S, N]
        How many thresholds of the grid a row's highest probability reaches.
    correct : bool [S, N]
        Whether its class is the label.
    cost : float64 [S]
        Of a row that leaves in this stage: of its members and all before.
    """

    passed: Places
    correct: NDArray[np.bool_]
    cost: Floats

    @classmethod
    def of(cls, answers: list[NDArray[np.float32]], labels: Places, costs: list[float]) -> Stages:
        """Take each stage's probabilities `[N, C]`, and the cost of each stage's member."""
        return cls(
            np.stack([np.searchsorted(GRID, answer.max(axis=1), side="right") for answer in answers]),
            np.stack([answer.argmax(axis=1) == labels for answer in answers]),
            np.cumsum(costs),
        )

    def leaving(self, level: Places) -> Places:
        """Return the stage in which each row leaves, int64 `[N]`; none passes the last one."""
        return self._sure(level).argmax(axis=0)

    def accuracy(self, left: Places) -> float:
        """Return the share of rows that leave with the right class."""
        return float(self.correct[left, np.arange(len(left))].mean())

    def mean_cost(self, left: Places) -> float:
        """Return the mean cost of a row."""
        return float(self.cost[left].mean())

    def variations(self, level: Places, stage: int) -> tuple[Floats, Floats]:
        """Return accuracy and mean cost, `[G]` each, for every threshold of the grid in one stage."""
        sure = self._sure(level)
        rows = np.flatnonzero(~sure[:stage].any(axis=0))
        gone = np.setdiff1d(np.arange(sure.shape[1]), rows, assume_unique=True)
        left = sure.argmax(axis=0)[gone]
        later = sure[stage + 1 :, rows].argmax(axis=0) + stage + 1
        right, cost = self.correct[later, rows].astype(float), self.cost[later]
        # Rows that pass more than j thresholds leave here at the j-th; the others go on as they would.
        change = np.stack([self.correct[stage, rows] - right, self.cost[stage] - cost])
        by_passed = [np.bincount(self.passed[stage, rows], each, len(GRID) + 1) for each in change]
        leave = np.cumsum(np.stack(by_passed)[:, ::-1], axis=1)[:, ::-1][:, 1:]
        totals = np.array([self.correct[left, gone].sum() + right.sum(), self.cost[left].sum() + cost.sum()])
        accuracy, mean = (totals[:, None] + leave) / sure.shape[1]
        return accuracy, mean

    def _sure(self, level: Places) -> NDArray[np.bool_]:
        sure = self.passed > level[:, None]
        sure[-1] = True
        return sure


def search(stages: Stages, accuracy: float | None, mean_cost: float | None) -> Places:
    """Return the place in the grid of each stage's threshold, int64 `[S]`, best for a target on these rows.

    From the best threshold that all stages share, and from the one that no sample leaves by, each stage's own
    is moved while that helps. It is a local search: it finds good thresholds, not the best.

    Parameters
    ----------
    stages : Stages
    accuracy : float or None
        The least accuracy: found is the least mean cost.
    mean_cost : float or None
        Where `accuracy` is None: the highest mean cost; found is the best accuracy. If even the first stage
        costs more, all rows leave there.
    """

    def rank(right: float, cost: float) -> tuple[float, float, float]:
        if accuracy is not None:
            return (1.0, -cost, right) if right >= accuracy - 1e-12 else (0.0, right, -cost)
        assert mean_cost is not None
        return (1.0, right, -cost) if cost <= mean_cost + 1e-12 else (0.0, -cost, right)

    def of(level: Places) -> tuple[float, float, float]:
        left = stages.leaving(level)
        return rank(stages.accuracy(left), stages.mean_cost(left))

    count = len(stages.cost)
    shared = [np.full(count, place) for place in range(len(GRID))]
    starts = max(shared, key=of), shared[-1]
    return max((_climb(stages, start, rank) for start in starts), key=of)


def _climb(stages: Stages, level: Places, rank: Callable[[float, float], tuple[float, ...]]) -> Places:
    """Move one stage's threshold at a time, while that helps."""
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

"""Bootstrap resamples of rows that are divided into folds, the same for every prediction of these rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
MOST_UNITS = 2048

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Resamples:
    """Resamples of units, which are rows or groups of rows.

    A resample draws any unit in place of each one, with replacement, and puts it into the fold of the one
    that it replaces. So folds keep their numbers of units, and are independent, as if they were drawn again.

    Attributes
    ----------
    unit : int64 array [N]
        Unit of each row.
    fold : int64 array [U]
        Fold of each unit, from 0.
    drawn : int64 array [R, U]
        The unit that is drawn in place of each unit.

    See Also
    --------
    committee.scoring.baselines.Baselines : Chooses the best single member again in each resample.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.scoring.resamples import Resamples
    >>> resamples = Resamples.draw(np.arange(100) % 5, groups=None, seed=0)
    >>> sums = resamples.sums(np.ones((1, 100)))
    >>> resamples.by_fold(sums).shape, float(resamples.means(sums).std())
    ((1000, 5, 1), 0.0)
    """

    unit: Integers
    fold: Integers
    drawn: Integers

    @classmethod
    def draw(
        cls, folds: Integers, groups: Integers | None, seed: int, resamples: int = RESAMPLES
    ) -> Resamples:
        """Draw resamples; more than 2048 units are first joined at random to 2048 sets, each in one fold."""
        random = np.random.default_rng(seed)
        fold_of_row = np.unique(folds, return_inverse=True)[1]
        unit = np.arange(len(folds)) if groups is None else np.unique(groups, return_inverse=True)[1]
        fold = np.empty(int(unit.max()) + 1, np.int64)
        fold[unit] = fold_of_row
        if len(fold) > MOST_UNITS:
            joined, fold = _joined(fold, random)
            unit = joined[unit]
        return cls(unit, fold, random.integers(0, len(fold), (resamples, len(fold))))

    @property
    def units(self) -> int:
        """Number of units U."""
        return len(self.fold)

    def sums(self, values: Floats) -> Floats:
        """Return the sums over the rows of each unit, `[U, K]`, of values `[K, N]`."""
        return np.stack([np.bincount(self.unit, each, self.units) for each in values], axis=1)

    def any(self, values: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return whether values `[N]` are true for any row of each unit, `[U]`."""
        return np.bincount(self.unit, values, self.units) > 0

    def means(self, sums: Floats) -> Floats:
        """Return the means of `[U, K]` over the rows of each resample, `[R, K]`."""
        return self.by_fold(sums).sum(axis=1) / self.rows.sum(axis=1, keepdims=True)

    def by_fold(self, sums: Floats) -> Floats:
        """Return the sums of `[U, K]` over each fold of each resample, `[R, F, K]`."""
        table = sums.astype(np.float32)
        return np.stack([times.astype(np.float32) @ table for times in self._times], axis=1)

    @cached_property
    def rows(self) -> Floats:
        """Number of rows of each fold of each resample, `[R, F]`."""
        return self.by_fold(np.bincount(self.unit, minlength=self.units)[:, None].astype(float))[:, :, 0]

    @cached_property
    def _times(self) -> list[NDArray[np.uint8]]:
        """How often each unit is drawn into each fold, F arrays `[R, U]`."""
        resamples = len(self.drawn)
        start = np.arange(resamples)[:, None] * self.units
        result = []
        for fold in range(int(self.fold.max()) + 1):
            index = self.drawn[:, self.fold == fold] + start
            times = np.bincount(index.ravel(), minlength=resamples * self.units)
            result.append(np.minimum(times, 255).astype(np.uint8).reshape(resamples, self.units))
        return result


def _joined(fold: Integers, random: np.random.Generator) -> tuple[Integers, Integers]:
    """Return the set of each unit, and the fold of each set."""
    order = random.permutation(len(fold))
    order = order[np.argsort(fold[order], kind="stable")]
    counts = np.bincount(fold)
    sets = np.maximum(1, counts * MOST_UNITS // len(fold))
    rank = np.arange(len(fold)) - np.repeat(np.cumsum(counts) - counts, counts)
    joined = np.empty(len(fold), np.int64)
    joined[order] = np.repeat(np.cumsum(sets) - sets, counts) + rank % np.repeat(sets, counts)
    return joined, np.repeat(np.arange(len(counts)), sets)

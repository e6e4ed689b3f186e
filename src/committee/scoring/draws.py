"""Bootstrap draws of a candidate, with which gains of several candidates are compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Draws:
    """Bootstrap draws of a candidate, with a mean of zero, such that larger is better.

    Attributes
    ----------
    metrics : tuple of str
    scores : float32 array [K, R]
        The metrics themselves.
    gains : float32 array [K, R]
        Their differences from those of the best single member.

    See Also
    --------
    committee.scoring.simultaneous : Uses the draws of several candidates.
    """

    metrics: tuple[str, ...]
    scores: NDArray[np.float32]
    gains: NDArray[np.float32]

    def scores_of(self, metric: str) -> NDArray[np.float32] | None:
        """Return the draws of a metric `[R]`, or None if there are none."""
        return self.scores[self.metrics.index(metric)] if metric in self.metrics else None

"""Ridge regression for several penalties, from one decomposition of the features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
TILE = 2**16


class Ridge:
    """Linear regression with an L2 penalty on standardized features, and an intercept without penalty.

    The objective is that of scikit-learn, `|Y - XW|^2 + alpha |W|^2`, with columns of X scaled to variance
    1. A column that is constant up to rounding is not scaled up.

    Parameters
    ----------
    features : float32 [N, F]
    targets : float32 [N, K]

    See Also
    --------
    committee.combiners.StackingRidge : The combiner that uses it.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.solvers.ridge import Ridge
    >>> features = np.array([[-1.0], [1.0]], np.float32)
    >>> weight, bias = Ridge(features, 2 * features + 1).fit(2.0)
    >>> weight.tolist(), bias.tolist()
    ([[1.0]], [1.0])
    """

    def __init__(self, features: Floats, targets: Floats) -> None:
        self._mean = features.mean(axis=0, dtype=np.float64)
        self._scale = features.std(axis=0, dtype=np.float64)
        self._scale[self._scale < 1e-6] = 1.0
        self._center = targets.mean(axis=0, dtype=np.float64)
        width = features.shape[1]
        gram, cross = np.zeros((width, width)), np.zeros((width, targets.shape[1]))
        for start in range(0, len(features), TILE):
            span = slice(start, start + TILE)
            shown = (features[span] - self._mean) / self._scale
            gram += shown.T @ shown
            cross += shown.T @ (targets[span] - self._center)
        values, self._axes = np.linalg.eigh(gram)
        self._values = np.maximum(values, 0)
        self._cross = self._axes.T @ cross

    def fit(self, alpha: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return weight `[K, F]` and bias `[K]` for the original features."""
        solved = (self._axes @ (self._cross / (self._values + alpha)[:, None])).T
        weight = np.ascontiguousarray(solved) / self._scale
        return weight, self._center - weight @ self._mean

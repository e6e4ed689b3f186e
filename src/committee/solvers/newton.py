"""The temperature with the least log-loss, by a safeguarded Newton iteration in its inverse."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = 0.05, 20.0
TOLERANCE = 1e-4
FEW = 2**13
TILE, SAFE = 2**17, 80.0


def best_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the temperature that minimizes the log-loss (Guo et al. 2017).

    Parameters
    ----------
    logits : float32 [N, C]
    labels : int64 [N]

    Returns
    -------
    float
        The temperature T, in [0.05, 20]. The loss is convex in 1/T. If it has no minimum (all rows are right,
        or none is better than chance), the result is one of the bounds.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.solvers.newton import best_temperature
    >>> logits = np.log(np.array([[0.75, 0.25]] * 4, np.float32))
    >>> labels = np.array([0, 0, 0, 1])
    >>> round(best_temperature(3 * logits, labels), 3)
    3.0
    """
    start = 1.0
    if len(labels) > FEW:
        # A start found on a sixteenth of the rows saves most passes over all rows.
        start = _best_inverse(logits[::16], labels[::16], 1.0)
    return 1 / _best_inverse(logits, labels, start)


def _best_inverse(logits: NDArray[np.float32], labels: NDArray[np.int64], inverse: float) -> float:
    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in range(60):
        slope, curvature = _derivatives(logits, labels, inverse)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / curvature if curvature > 0 else low
        moved = step if low < step < high else (low * high) ** 0.5
        # The error of a Newton step is about the square of the step; that of a bisection is the step itself.
        if abs(moved - inverse) <= (TOLERANCE if moved == step else 1e-7) * inverse:
            break
        inverse = moved
    return float(moved)


def _derivatives(
    logits: NDArray[np.float32], labels: NDArray[np.int64], inverse: float
) -> tuple[float, float]:
    """Return the first and second derivative of the mean log-loss by the inverse temperature."""
    rows, classes = logits.shape
    block = max(16, TILE // classes)
    ones, every = np.ones(classes, np.float32), np.arange(block)
    buffer = np.empty((block, classes), np.float32)
    slope = curvature = 0.0
    for start in range(0, rows, block):
        tile = logits[start : start + block]
        if max(-tile.min(), tile.max()) * inverse > SAFE:
            tile = tile - tile.max(axis=1, keepdims=True)
        weights = np.multiply(tile, np.float32(inverse), out=buffer[: len(tile)])
        total = np.exp(weights, out=weights) @ ones
        mean = np.vecdot(weights, tile) / total
        label = tile[every[: len(tile)], labels[start : start + block]]
        slope += float((mean - label).sum(dtype=np.float64))
        weights *= tile
        curvature += float((np.vecdot(weights, tile) / total - mean**2).sum(dtype=np.float64))
    return slope / rows, curvature / rows

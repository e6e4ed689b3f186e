"""The best temperature, by a safeguarded Newton iteration in its inverse."""

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
        In [0.05, 20]. The loss is convex in 1/T; where it has no minimum (every row right, or none better
        than chance) the bound is the answer.
    """
    start = 1.0
    if len(labels) > FEW:
        # A sixteenth of the rows tells where to start, which saves most passes over all of them.
        start = _best_inverse(logits[::16], labels[::16], 1.0)
    return 1 / _best_inverse(logits, labels, start)


def _best_inverse(logits: NDArray[np.float32], labels: NDArray[np.int64], inverse: float) -> float:
    low, high = 1 / HIGHEST, 1 / LOWEST
    for _ in range(60):
        slope, curvature = _derivatives(logits, labels, inverse)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / curvature if curvature > 0 else low
        moved = step if low < step < high else (low * high) ** 0.5
        # Newton's error is about the square of its last step; a bisection's is the step.
        if abs(moved - inverse) <= (TOLERANCE if moved == step else 1e-7) * inverse:
            break
        inverse = moved
    return float(moved)


def _derivatives(
    logits: NDArray[np.float32], labels: NDArray[np.int64], inverse: float
) -> tuple[float, float]:
    """Return the mean log-loss' first and second derivatives in the inverse temperature."""
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

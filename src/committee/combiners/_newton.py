"""The best temperature, by a safeguarded Newton iteration in its inverse."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LOWEST, HIGHEST = 0.05, 20.0
TILE = 2**18


def best_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the temperature that minimises the log-loss (Guo et al. 2017).

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
    low, high, inverse = 1 / HIGHEST, 1 / LOWEST, 1.0
    for _ in range(60):
        slope, curvature = _derivatives(logits, labels, inverse).tolist()
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / curvature if curvature > 0 else low
        moved = step if low < step < high else (low * high) ** 0.5
        if abs(moved - inverse) <= 1e-7 * inverse:
            break
        inverse = moved
    return float(1 / moved)


def _derivatives(logits: NDArray[np.float32], labels: NDArray[np.int64], inverse: float) -> Tensor:
    """Return the mean log-loss' first and second derivatives in the inverse temperature, float64 [2]."""
    total = torch.zeros(2, dtype=torch.float64)
    block = max(16, TILE // logits.shape[1])
    for start in range(0, len(logits), block):
        tile = torch.from_numpy(np.array(logits[start : start + block]))
        label = torch.from_numpy(labels[start : start + block, None].copy())
        tile -= tile.amax(dim=1, keepdim=True)
        probs = (tile * inverse).softmax(dim=1)
        mean = (probs * tile).sum(dim=1)
        slope = mean - tile.gather(1, label)[:, 0]
        total[0] += slope.sum(dtype=torch.float64)
        total[1] += ((probs * tile).mul_(tile).sum(dim=1) - mean.square()).sum(dtype=torch.float64)
    return total / len(logits)

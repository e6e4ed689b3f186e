"""A scale and a bias for each class with the least penalized log-loss, by L-BFGS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float32]
Vector = NDArray[np.float64]

ITERATIONS = 200
GRADIENT = 1e-6
"""A fit ends at this largest component of the gradient, in nats per row."""
TILE = 2**15


def best_class_scaling(logits: Floats, labels: NDArray[np.int64], spread: float) -> tuple[Vector, Vector]:
    """Return the scales and biases of the classes that minimize the penalized log-loss.

    Logits `z` become `scale * z + bias`. The sum of the log-loss has the penalty
    `(|scale - 1|^2 + |bias|^2) / (2 spread^2)`: a prior with the standard deviation `spread`. So a class with
    few rows keeps a scale near 1 and a bias near 0. The problem is convex.

    Parameters
    ----------
    logits : float32 [N, C]
        Calibrated by a temperature already.
    labels : int64 [N]
    spread : float

    Returns
    -------
    scale, bias : float64 [C]

    Examples
    --------
    >>> import numpy as np
    >>> from committee.solvers.class_scaling import best_class_scaling
    >>> labels = np.arange(300) % 3 // 2  # two rows of class 0 for one of class 1
    >>> scale, bias = best_class_scaling(np.zeros((300, 2), np.float32), labels, spread=10.0)
    >>> bool(abs(bias[0] - bias[1] - np.log(2)) < 1e-3)
    True
    """
    classes = logits.shape[1]
    precision = 1 / (len(labels) * spread**2)

    def objective(point: Vector) -> tuple[float, Vector]:
        loss, gradient = log_loss_and_gradient(logits, labels, 1 + point[:classes], point[classes:])
        return loss + precision / 2 * float(point @ point), gradient + precision * point

    found = minimize(
        objective,
        np.zeros(2 * classes),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": ITERATIONS, "gtol": GRADIENT, "ftol": 1e-12},
    )
    return 1 + found.x[:classes], found.x[classes:]


def log_loss_and_gradient(
    logits: Floats, labels: NDArray[np.int64], scale: Vector, bias: Vector
) -> tuple[float, Vector]:
    """Return the mean log-loss of `scale * logits + bias`, and its gradient by scale and bias, `[2C]`."""
    classes = logits.shape[1]
    block = max(16, TILE // classes)
    loss, gradient = 0.0, np.zeros((2, classes))
    for start in range(0, len(labels), block):
        tile, truth = logits[start : start + block], labels[start : start + block]
        rows = np.arange(len(tile))
        scores = tile * scale + bias  # float64: rounding to float32 would end the search early
        scores -= scores.max(axis=1, keepdims=True)
        right = scores[rows, truth]
        np.exp(scores, out=scores)
        total = scores.sum(axis=1)
        loss += float((np.log(total) - right).sum(dtype=np.float64))
        scores /= total[:, None]
        scores[rows, truth] -= 1
        gradient[1] += scores.sum(axis=0, dtype=np.float64)
        gradient[0] += np.einsum("nc,nc->c", scores, tile)
    return loss / len(labels), gradient.reshape(-1) / len(labels)

"""Weights on the simplex with the least log-loss: convex, solved to a certificate."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Objective = Callable[[Vector], tuple[float, Vector]]
TOLERANCE = 1e-6
TILE = 2**18


def minimise(objective: Objective, size: int) -> tuple[Vector, float]:
    """Minimise a convex function on the simplex.

    Parameters
    ----------
    objective : callable
        Weights -> value and gradient.
    size : int
        Number of weights.

    Returns
    -------
    weights : float64 [size]
        Non-negative, sum 1.
    certificate : float
        Upper bound on how far the value is above the optimum: `g.w - min(g)` (Frank and Wolfe 1956). For the
        linear pool it is `max_j r_j - 1`, with `r_j` the mean ratio of member j to the mixture.
    """
    weights = np.full(size, 1 / size)
    best = weights, _gap(objective, weights)
    # SLSQP stops early now and then; started again from where it stopped, it goes on.
    for _ in range(5):
        if best[1] <= TOLERANCE:
            break
        weights = _slsqp(objective, best[0])
        gap = _gap(objective, weights)
        if gap >= best[1]:
            break
        best = weights, gap
    return best


def _slsqp(objective: Objective, start: Vector) -> Vector:
    from scipy.optimize import minimize

    ones = np.ones_like(start)
    found = minimize(
        objective, start, jac=True, method="SLSQP", bounds=[(0.0, 1.0)] * len(start),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: ones},
        options={"ftol": 1e-13, "maxiter": 200},
    )  # fmt: skip
    weights = np.maximum(found.x, 0.0)
    return weights / weights.sum()


def _gap(objective: Objective, weights: Vector) -> float:
    gradient = objective(weights)[1]
    return float(gradient @ weights - gradient.min())


def linear_loss(label: NDArray[np.float32]) -> Objective:
    """Return the log-loss of the linear pool; it depends on the label's log-probabilities `[M, N]` alone."""
    shift = label.max(axis=0)
    probs = np.exp((label - shift).astype(np.float64))
    base = -shift.mean(dtype=np.float64)

    def objective(weights: Vector) -> tuple[float, Vector]:
        # Not BLAS: its threads gain nothing on so narrow a matrix, and on a busy machine wait for each other.
        mixture = np.maximum(np.einsum("m,mn->n", weights, probs), np.finfo(np.float64).tiny)
        ratio = np.einsum("mn,n->m", probs, 1 / mixture)
        return float(base - np.log(mixture).mean()), -ratio / len(shift)

    return objective


def log_pool_loss(
    logits: NDArray[np.float32], label: NDArray[np.float32], order: NDArray[np.int64]
) -> Objective:
    """Return the log-loss of the logarithmic pool of members in `order`; a call reads all logits."""
    rows = logits.shape[1]
    block = max(16, TILE // (len(logits) * logits.shape[2]))
    mean_label = label[order].mean(axis=1, dtype=np.float64)

    def objective(weights: Vector) -> tuple[float, Vector]:
        pool = torch.from_numpy(weights)
        loss, expected = 0.0, torch.zeros(len(weights), dtype=torch.float64)
        for start in range(0, rows, block):
            tile = (
                torch.from_numpy(np.array(logits[:, start : start + block][order]))
                .double()
                .log_softmax(dim=2)
            )
            pooled = torch.tensordot(pool, tile, 1)
            normaliser = pooled.logsumexp(dim=1, keepdim=True)
            loss += float(normaliser.sum(dtype=torch.float64))
            expected += torch.mv(tile.flatten(1), (pooled - normaliser).exp_().flatten())
        return loss / rows - float(weights @ mean_label), expected.numpy() / rows - mean_label

    return objective

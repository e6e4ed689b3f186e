"""Multinomial logistic regression on nearly collinear features, by L-BFGS in whitened coordinates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize

Floats = NDArray[np.float32]
Layer = tuple[Floats, Floats]

ITERATIONS = 500
GRADIENT = 3e-5
"""A fit ends at this largest component of the gradient, in whitened coordinates and in nats per row."""
TINY = 1e-7
TILE = 2**11


class SoftmaxRegression:
    """Multinomial logistic regression with an L2 penalty, fitted for several penalties in turn.

    The objective is that of scikit-learn, `C * sum(log-loss) + |W|^2 / 2` on standardized features, without a
    penalty on the intercepts. The log-probabilities of members are nearly collinear: the curvature along what
    they share is thousands of times that along their differences, so plain L-BFGS converges slowly. Here
    L-BFGS uses coordinates in which `h X'X/N + I/(CN)` is the identity; this matrix is an upper bound of the
    Hessian everywhere (Bohning 1992). Each fit starts from the previous one.

    Parameters
    ----------
    features : float32 [N, F]
    labels : int64 [N]
        Class indices. Each class must occur: the intercept of an absent class has no minimum.
    classes : int
        Number of classes K.

    See Also
    --------
    committee.combiners.StackingLr : The combiner that uses it.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.solvers.softmax_regression import SoftmaxRegression
    >>> features = np.array([[-1.0], [-0.5], [0.5], [1.0]], np.float32)
    >>> weight, bias = SoftmaxRegression(features, np.array([0, 0, 1, 1]), 2).fit(1.0)
    >>> weight.shape, bool(weight[1, 0] > 0)
    ((2, 1), True)
    """

    def __init__(self, features: Floats, labels: NDArray[np.int64], classes: int) -> None:
        self._mean, self._scale = features.mean(axis=0), features.std(axis=0)
        # A feature that is constant up to rounding is not scaled up.
        self._scale[self._scale < 1e-4] = 1.0
        self._shown = (features - self._mean) / self._scale
        self._labels, self._classes = labels, classes
        self._gram = (self._shown.T @ self._shown).astype(np.float64) / len(labels)
        self._weight = np.zeros((features.shape[1], classes))
        shares = np.maximum(np.bincount(labels, minlength=classes) / len(labels), TINY)
        self._bias = np.log(shares)
        self.iterations = 0

    def fit(self, strength: float) -> Layer:
        """Return weight `[K, F]` and bias `[K]` for the original features, for an inverse penalty `C`."""
        # For two classes scikit-learn penalizes the difference of the two rows of weights: twice our penalty.
        penalty = (2 if self._classes == 2 else 1) / (strength * len(self._labels))
        curvature = (1 - 1 / self._classes) / self._classes
        root = cholesky(curvature * self._gram + penalty * np.eye(len(self._gram)), lower=False)
        unwhiten = solve_triangular(root, np.eye(len(root)), lower=False)
        slope = np.sqrt(curvature)
        split = self._weight.size

        def unfold(point: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            return unwhiten @ point[:split].reshape(self._weight.shape), point[split:] / slope

        def objective(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            weight, bias = unfold(point)
            loss, by_weight, by_bias = self._loss(weight, bias)
            by_weight += penalty * weight
            gradient = np.concatenate([(unwhiten.T @ by_weight).reshape(-1), by_bias / slope])
            return loss + penalty / 2 * float((weight**2).sum()), gradient

        start = np.concatenate([(root @ self._weight).reshape(-1), self._bias * slope])
        found = minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": ITERATIONS, "maxcor": 20, "gtol": GRADIENT, "ftol": 1e-12, "maxfun": 2000},
        )
        self._weight, self._bias = unfold(found.x)
        self.iterations += int(found.nit)
        weight = self._weight.T / self._scale
        return weight.astype(np.float32), (self._bias - weight @ self._mean).astype(np.float32)

    def _loss(
        self, weight: NDArray[np.float64], bias: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean log-loss and its gradient, computed in tiles that stay in the cache."""
        weight32, bias32 = weight.T.astype(np.float32), bias.astype(np.float32)[:, None]
        loss, by_weight, by_bias = 0.0, np.zeros_like(weight), np.zeros_like(bias)
        for start in range(0, len(self._labels), TILE):
            shown, labels = self._shown[start : start + TILE], self._labels[start : start + TILE]
            rows = np.arange(len(labels))
            # Classes come first, because summing ten long rows is much faster than summing ten neighbors.
            scores = weight32 @ shown.T + bias32
            scores -= scores.max(axis=0)
            right = scores[labels, rows]
            np.exp(scores, out=scores)
            total = scores.sum(axis=0)
            loss += float((np.log(total) - right).sum(dtype=np.float64))
            scores /= total
            scores[labels, rows] -= 1
            by_weight += (scores @ shown).T
            by_bias += scores.sum(axis=1, dtype=np.float64)
        count = len(self._labels)
        return loss / count, by_weight / count, by_bias / count

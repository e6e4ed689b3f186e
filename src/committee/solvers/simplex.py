"""Weights on the simplex with the least log-loss: convex, solved by Newton steps to a certificate."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Places = NDArray[np.int64]
Matrix = NDArray[np.float64]
TOLERANCE, COARSE = 1e-6, 1e-3
FEW = 2**13
STEPS, HALVINGS, BOLD = 100, 20, 3


class Loss(ABC):
    """A convex function of weights on the simplex: the mean of a loss over rows.

    Attributes
    ----------
    members, rows : int
        How many weights, and how many rows.
    """

    members: int
    rows: int

    @abstractmethod
    def gradient(self, weights: Vector) -> Vector:
        """Return the gradient at weights `[M]`."""

    @abstractmethod
    def part(self, some: Places, *, thin: bool = False) -> Part:
        """Return the same loss where the other members have no weight; `thin`: on a sixteenth of the rows."""


class Part(ABC):
    """A loss that knows its curvature too, for steps."""

    @abstractmethod
    def at(self, weights: Vector) -> tuple[float, Vector, Matrix]:
        """Return value, gradient and Hessian at weights `[M]`."""


def minimize(loss: Loss) -> tuple[Vector, float]:
    """Minimize a loss on the simplex by sequential quadratic programming (mixSQP, Kim et al. 2020).

    Where there are many rows, some of them tell where to start. Steps are taken among the members that have
    weight; all others are looked at in the end, and those that should have some join.

    Returns
    -------
    weights : float64 [M]
        Non-negative, sum 1.
    certificate : float
        Upper bound on how far the value is above the optimum: `g.w - min(g)` (Frank and Wolfe 1956). For the
        linear pool it is `max_j r_j - 1`, with `r_j` the mean ratio of member j to the mixture.
    """
    weights = np.full(loss.members, 1 / loss.members)
    if loss.rows > FEW:
        weights = _newton(loss.part(np.arange(loss.members), thin=True), weights, COARSE)[0]
    some, certificate = np.flatnonzero(weights), np.inf
    while True:
        tried = np.zeros(loss.members)
        tried[some], gap = _newton(loss.part(some), weights[some], TOLERANCE / 2)
        if len(some) < loss.members:
            gradient = loss.gradient(tried)
            gap = float(gradient @ tried - gradient.min())
        if gap < certificate:
            weights, certificate = tried, gap
        if gap <= TOLERANCE or gap > certificate or len(some) == loss.members:
            return weights, certificate
        some = np.flatnonzero((tried > 0) | (gradient < gradient @ tried))


def _newton(loss: Part, weights: Vector, tolerance: float) -> tuple[Vector, float]:
    """Return the minimum near weights, and its certificate."""
    value, gradient, curvature = loss.at(weights)
    for _ in range(STEPS):
        if gradient @ weights - gradient.min() <= tolerance:
            break
        direction = _quadratic(weights, gradient, curvature) - weights
        slope = gradient @ direction
        # A whole step, or else a half, a quarter, ...
        for length in 0.5 ** np.arange(HALVINGS):
            tried = weights + length * direction
            found = loss.at(tried)
            # What rounding adds must not make a good step look bad.
            if found[0] <= value + 0.01 * length * slope + TOLERANCE / 10:
                break
        else:
            break
        weights, (value, gradient, curvature) = tried, found
    return weights, float(gradient @ weights - gradient.min())


def _quadratic(weights: Vector, gradient: Vector, curvature: NDArray[np.float64]) -> Vector:
    """Return the minimum on the simplex of a quadratic model around weights, by an active set."""
    size = len(weights)
    # Members that are alike leave it singular.
    curvature = curvature + np.eye(size) * (1e-9 * np.trace(curvature) / size + 1e-15)
    linear = gradient - curvature @ weights
    free = np.ones(size, np.bool_)
    point = weights
    for turn in range(10 * size):
        target, level = _equality(curvature, linear, free)
        falling = free & (target < 0)
        if falling.any() and turn < BOLD:
            # All at once, to begin with: what should not have gone comes back.
            free &= ~falling
            point = np.where(free, target, 0.0) / target[free].sum()
            continue
        if falling.any():
            # As far as the first weight that becomes zero.
            reach = np.full(size, np.inf)
            reach[falling] = point[falling] / (point - target)[falling]
            first = int(reach.argmin())
            point = point + reach[first] * (target - point)
            point[first], free[first] = 0.0, False
            continue
        point = target
        pull = np.where(free, 0.0, curvature @ point + linear - level)
        if pull.min() >= -1e-12:
            break
        free[pull.argmin()] = True
    point = np.maximum(point, 0.0)
    return point / point.sum()


def _equality(curvature: Matrix, linear: Vector, free: NDArray[np.bool_]) -> tuple[Vector, float]:
    """Return the minimum with sum 1 of the free weights, the others zero, and the gradient they share."""
    places = np.flatnonzero(free)
    both = np.linalg.solve(
        curvature[np.ix_(places, places)], np.column_stack([-linear[places], np.ones(len(places))])
    )
    level = (1 - both[:, 0].sum()) / both[:, 1].sum()
    target = np.zeros(len(free))
    target[places] = both[:, 0] + level * both[:, 1]
    return target, float(level)

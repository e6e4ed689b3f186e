"""Minimization of convex functions on the simplex by Newton steps, with a bound on the error."""

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
ROUNDING = 1e-7


class Loss(ABC):
    """A convex function of weights on the simplex: the mean of a loss over rows.

    Attributes
    ----------
    members, rows : int
        Number of weights and of rows.

    See Also
    --------
    committee.solvers.pool_losses : The losses of the opinion pools.
    """

    members: int
    rows: int

    @abstractmethod
    def gradient(self, weights: Vector) -> Vector:
        """Return the gradient at weights `[M]`."""

    @abstractmethod
    def part(self, some: Places, *, thin: bool = False) -> Part:
        """Return the loss of some members; with `thin`, on a sixteenth of the rows."""


class Part(ABC):
    """The loss of some members, which also returns its Hessian."""

    @abstractmethod
    def at(self, weights: Vector) -> tuple[float, Vector, Matrix]:
        """Return value, gradient and Hessian at weights `[M]`."""


def minimize(loss: Loss) -> tuple[Vector, float]:
    """Minimize a loss on the simplex by sequential quadratic programming (mixSQP, Kim et al. 2020).

    With many rows, a first solution on some of them is the starting point. Steps change the weights of the
    members that have weight. At the end the gradient of all members is checked, and those whose weight should
    grow are added.

    Returns
    -------
    weights : float64 [M]
        Non-negative, sum 1.
    certificate : float
        Upper bound on the difference between the value and the minimum: `g.w - min(g)` (Frank and Wolfe
        1956). For the linear pool it is `max_j r_j - 1`, where `r_j` is the mean over rows of the probability
        of the label by member j divided by that of the mixture.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.solvers.pool_losses import LinearPool
    >>> from committee.solvers.simplex import minimize
    >>> label = np.log(np.array([[0.9, 0.2], [0.2, 0.9], [0.1, 0.1]], np.float32))
    >>> weights, certificate = minimize(LinearPool(label))
    >>> weights.round(3).tolist(), certificate < 1e-6
    ([0.5, 0.5, 0.0], True)
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
    """Minimize a loss from given weights; return the new weights and their certificate."""
    value, gradient, curvature = loss.at(weights)
    before = np.inf
    for _ in range(STEPS):
        gap = gradient @ weights - gradient.min()
        direction = _quadratic(weights, gradient, curvature) - weights
        slope = gradient @ direction
        # A step that gains less than rounding errors, and no longer reduces the gap, leads nowhere.
        if gap <= tolerance or (-slope < ROUNDING and gap > before / 2):
            break
        before = gap
        # Try a whole step, then a half, a quarter, ...
        for length in 0.5 ** np.arange(HALVINGS):
            tried = weights + length * direction
            found = loss.at(tried)
            # The tolerance prevents that rounding errors reject a good step.
            if found[0] <= value + 0.01 * length * slope + TOLERANCE / 10:
                break
        else:
            break
        weights, (value, gradient, curvature) = tried, found
    return weights, float(gradient @ weights - gradient.min())


def _quadratic(weights: Vector, gradient: Vector, curvature: NDArray[np.float64]) -> Vector:
    """Minimize a quadratic model around the weights on the simplex by an active-set method."""
    size = len(weights)
    # Members with equal predictions, or all certain, make the Hessian singular. Relative to the gradient, the
    # ridge keeps steps finite; as it is centered on the weights, it does not move the minimum.
    ridge = 1e-9 * np.trace(curvature) / size + 1e-8 * np.ptp(gradient) + 1e-15
    curvature = curvature + np.eye(size) * ridge
    linear = gradient - curvature @ weights
    free = np.ones(size, np.bool_)
    point = weights
    for turn in range(10 * size):
        target, level = _equality(curvature, linear, free)
        falling = free & (target < 0)
        if falling.any() and turn < BOLD:
            # At first, drop all negative weights at once: those that should stay come back later.
            free &= ~falling
            point = np.where(free, target, 0.0) / target[free].sum()
            continue
        if falling.any():
            # Move until the first weight becomes zero.
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
    """Minimize over the free weights with sum 1, the others zero; return them and their common gradient."""
    places = np.flatnonzero(free)
    both = np.linalg.solve(
        curvature[np.ix_(places, places)], np.column_stack([-linear[places], np.ones(len(places))])
    )
    level = (1 - both[:, 0].sum()) / both[:, 1].sum()
    target = np.zeros(len(free))
    target[places] = both[:, 0] + level * both[:, 1]
    return target, float(level)

"""The Brier score of the linear pool, which is a quadratic function of the weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from committee.solvers.columns import Columns, spans
from committee.solvers.simplex import Loss, Matrix, Part, Places, Vector


def residual_products(known: Columns, labels: NDArray[np.int64]) -> Matrix:
    """Return the mean products of the residuals of the members, float64 `[M, M]`.

    The residual of a row is its probabilities minus the one-hot label. With weights that sum to 1, the
    residual of the linear pool is the weighted mean of those of the members, so that the Brier score is the
    product of this matrix with the weights from both sides.
    """
    members, rows, classes = known.shape
    products = np.zeros((members, members))
    for span in spans(rows, members * classes):
        tile = known.tile(range(members), span)
        tile -= known.normalizer[:, span, None]
        np.exp(tile, out=tile)
        tile[:, np.arange(tile.shape[1]), labels[span]] -= 1
        flat = tile.reshape(members, -1)
        products += flat @ flat.T
    return products / rows


class BrierLoss(Loss, Part):
    """The Brier score of the linear pool.

    Parameters
    ----------
    products : float64 array [M, M]
        See `residual_products`.
    rows : int
        Number of rows.

    See Also
    --------
    committee.solvers.simplex.minimize : Find the best weights.
    """

    def __init__(self, products: Matrix, rows: int) -> None:
        self._products, self.members, self.rows = products, len(products), rows

    def gradient(self, weights: Vector) -> Vector:
        """Return the gradient at weights `[M]`."""
        return 2 * self._products @ weights

    def part(self, some: Places, *, thin: bool = False) -> Part:
        """Return the loss of some members; all rows cost as much as some."""
        return BrierLoss(self._products[np.ix_(some, some)], self.rows)

    def at(self, weights: Vector) -> tuple[float, Vector, Matrix]:
        """Return value, gradient and Hessian at weights `[M]`."""
        slope = self.gradient(weights)
        return float(slope @ weights) / 2, slope, 2 * self._products

"""Ranks of numbers, and sums over the rows above each row, from one sort."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]
KEPT = 8
"""Columns whose order is kept: the true numbers of all rows, and of all rows outside of each fold."""


@dataclass(frozen=True, eq=False)
class Order:
    """The order of numbers `[N, T]`, by target.

    Attributes
    ----------
    rows : int64 array [N, T]
        Rows from the smallest number to the largest.
    first, last : int64 array [N, T]
        In this order, the place of the first of the rows with an equal number, and the place after the last.

    See Also
    --------
    committee.metrics.regression.NumberRows : Uses it for the rank correlation.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics.ranks import Order
    >>> order = Order.of(np.array([[3.0], [1.0], [3.0]]))
    >>> order.ranks.round(3).ravel().tolist()
    [0.167, -0.333, 0.167]
    >>> order.above(np.ones((3, 1))).round(3).ravel().tolist()
    [0.333, 0.833, 0.333]
    """

    rows: Integers
    first: Integers
    last: Integers

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Sort numbers `[N, T]`."""
        rows = np.argsort(values, axis=0, kind="stable")
        columns = np.take_along_axis(values, rows, axis=0).T
        ends = (
            np.stack([np.searchsorted(each, each, side=side) for each in columns], axis=1)
            for side in ("left", "right")
        )
        return cls(rows, *ends)

    @property
    def ranks(self) -> Floats:
        """Ranks, scaled to -1/2 to 1/2, `[N, T]`; equal numbers share the mean of theirs."""
        return self._by_row((self.first + self.last) / 2 / len(self.rows) - 0.5)

    def above(self, weights: Floats) -> Floats:
        """Return, for each row, the mean over all rows of the weights of those above; equal ones are half."""
        ordered = np.take_along_axis(weights, self.rows, axis=0)[::-1]
        tail = np.concatenate([np.cumsum(ordered, axis=0)[::-1], np.zeros((1, ordered.shape[1]))])
        ends = (np.take_along_axis(tail, place, axis=0) for place in (self.first, self.last))
        return self._by_row(np.sum([*ends], axis=0) / 2) / len(self.rows)

    def _by_row(self, ordered: Floats) -> Floats:
        result = np.empty_like(ordered)
        np.put_along_axis(result, self.rows, ordered, axis=0)
        return result


def known_order(values: Floats) -> Order:
    """Return the order of numbers that many models share, such as the true ones; it is computed once."""
    return _order_of_bytes(values.tobytes(), values.shape)


@lru_cache(KEPT)
def _order_of_bytes(values: bytes, shape: tuple[int, ...]) -> Order:
    return Order.of(np.frombuffer(values, np.float64).reshape(shape))

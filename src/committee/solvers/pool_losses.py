"""The log-loss of the two opinion pools as a function of the members' weights, with two derivatives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from committee.solvers.columns import Columns, log_sum, spans
from committee.solvers.simplex import Loss, Matrix, Part, Places, Vector

BLOCK, PIECE = 2**13, 2**12
FLOOR = 1e-12
"""Smallest mixture relative to the best member of a row: squares of its inverse do not overflow float32."""
FARTHEST = 1e6
"""Largest difference of logits, in nats, for the same reason."""


class LinearPool(Loss):
    """The log-loss of the linear pool.

    Parameters
    ----------
    label : float32 array [M, N]
        Log-probabilities of the labels; the loss depends on nothing else.

    See Also
    --------
    committee.solvers.simplex.minimize : Find the best weights.
    """

    def __init__(self, label: NDArray[np.float32]) -> None:
        # A factor of a row does not matter: relative to the best member, float32 is precise enough.
        self._label, self._shift = label, label.max(axis=0)
        self.members, self.rows = label.shape

    def gradient(self, weights: Vector) -> Vector:
        """Return the gradient at weights `[M]`."""
        ratio = np.zeros(self.members)
        for span in _spans(self.rows):
            probs = _exponential(self._label[:, span], self._shift[span])
            ratio += np.einsum("mn,n->m", probs, 1 / _mixture(weights, probs))
        return -ratio / self.rows

    def part(self, some: Places, *, thin: bool = False) -> Part:
        """Return the loss of some members; with `thin`, on a sixteenth of the rows."""
        label, shift = self._label if len(some) == self.members else self._label[some], self._shift
        if thin:
            rows = _some_rows(self.rows)
            label, shift = label[:, rows], shift[rows]
        return _LinearPart(_exponential(label, shift), shift)


class _LinearPart(Part):
    """The linear pool of some members, with their probabilities of the labels in memory."""

    def __init__(self, probs: NDArray[np.float32], shift: NDArray[np.float32]) -> None:
        self._probs, self._base = probs, -float(shift.mean(dtype=np.float64))

    def at(self, weights: Vector) -> tuple[float, Vector, Matrix]:
        """Return value, gradient and Hessian at weights `[M]`."""
        members, rows = self._probs.shape
        value, ratio, curvature = 0.0, np.zeros(members), np.zeros((members, members))
        for span in _spans(rows):
            inverse = 1 / _mixture(weights, self._probs[:, span])
            part = self._probs[:, span] * inverse
            ratio += np.einsum("mn->m", part)
            # For so few members, products of vectors are two to four times as fast as a matrix product.
            for member in range(members):
                curvature[member, member:] += part[member:] @ part[member]
            value += float(np.log(inverse, out=inverse).sum(dtype=np.float64))
        curvature += np.triu(curvature, 1).T
        return self._base + value / rows, -ratio / rows, curvature / rows


class LogPool(Loss):
    """The log-loss of the logarithmic pool; each evaluation reads all logits of the members.

    A constant of a row does not matter to this pool, so logits are read relative to that of the label: the
    loss of a row is then the log of a sum, and its gradient is not a difference of large numbers, which
    float32 would round.

    Parameters
    ----------
    known : Columns
        The columns of the logits.
    labels : int64 array [N]
        Class indices.
    order : int64 array [M]
        Positions of the members.
    rows : int64 array, optional
        The rows that are used; all by default.

    See Also
    --------
    committee.solvers.simplex.minimize : Find the best weights.
    """

    def __init__(
        self, known: Columns, labels: NDArray[np.int64], order: Places, rows: Places | None = None
    ) -> None:
        self._known, self._labels, self._order, self._picked = known, labels, order, rows
        self.members, self.rows = len(order), len(labels) if rows is None else len(rows)

    def gradient(self, weights: Vector) -> Vector:
        """Return the gradient at weights `[M]`."""
        total = np.zeros(self.members)
        for tile, _ in self._tiles():
            _, probs = _pooled(weights, tile)
            total += tile.reshape(self.members, -1) @ probs.ravel()
        return total / self.rows

    def part(self, some: Places, *, thin: bool = False) -> Part:
        """Return the loss of some members; with `thin`, on a sixteenth of the rows."""
        rows = _some_rows(self.rows) if thin else self._picked
        return _LogPart(self._known, self._labels, self._order[some], rows)

    def _tiles(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Yield logits minus those of the labels, `[M, B, C]`, and spare memory of the same shape.

        All are in the same memory, since new memory takes longer than the values.
        """
        labels = self._labels if self._picked is None else self._labels[self._picked]
        some = spans(self.rows, self.members * self._known.shape[2])
        memory = np.empty((2, self.members, some[0].stop, self._known.shape[2]), np.float32)
        for span in some:
            rows, columns = span if self._picked is None else self._picked[span], labels[span, None]
            tile, spare = memory[:, :, : len(columns)]
            for place, member in enumerate(self._order.tolist()):
                part = self._known.part(member, rows)
                np.subtract(part, np.take_along_axis(part, columns, axis=1), out=tile[place])
            if max(tile.max(), -tile.min()) > FARTHEST:
                np.clip(tile, -FARTHEST, FARTHEST, out=tile)
            yield tile, spare


class _LogPart(LogPool, Part):
    """The logarithmic pool of some members, on some rows."""

    def at(self, weights: Vector) -> tuple[float, Vector, Matrix]:
        """Return value, gradient and Hessian at weights `[M]`."""
        value, slope, curvature = 0.0, np.zeros(self.members), np.zeros((self.members, self.members))
        for tile, spare in self._tiles():
            normalizer, probs = _pooled(weights, tile)
            weighted = np.multiply(tile, probs, out=spare)
            expected = weighted.sum(axis=2)
            value += float(normalizer.sum(dtype=np.float64))
            slope += expected.sum(axis=1, dtype=np.float64)
            curvature += _products(weighted.reshape(self.members, -1), tile.reshape(self.members, -1))
            curvature -= expected @ expected.T
        return value / self.rows, slope / self.rows, curvature / self.rows


def _products(left: NDArray[np.float32], right: NDArray[np.float32]) -> Matrix:
    """Return the products of the rows of two arrays `[M, K]`.

    BLAS multiplies few rows several times as fast if they are short.
    """
    pieces = [slice(start, start + PIECE) for start in range(0, left.shape[1], PIECE)]
    return np.sum([left[:, piece] @ right[:, piece].T for piece in pieces], axis=0, dtype=np.float64)


def _pooled(weights: Vector, tile: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the log-normalizer of the pool `[B]`, and its probabilities `[B, C]`."""
    pooled = np.tensordot(weights.astype(np.float32), tile, 1)
    normalizer = log_sum(pooled)
    pooled -= normalizer[:, None]
    return normalizer, np.exp(pooled, out=pooled)


def _some_rows(rows: int) -> Places:
    """Return a sixteenth of the rows, in groups of sixteen neighbors, which are adjacent in memory."""
    return (np.arange(0, rows - 15, 256)[:, None] + np.arange(16)).ravel()


def _exponential(label: NDArray[np.float32], shift: NDArray[np.float32]) -> NDArray[np.float32]:
    probs = np.subtract(label, shift)
    return np.exp(probs, out=probs)


def _mixture(weights: Vector, probs: NDArray[np.float32]) -> NDArray[np.float32]:
    used = np.flatnonzero(weights)
    probs = probs if len(used) == len(probs) else probs[used]
    # einsum and not BLAS, whose threads gain nothing on so few members and wait for each other under load.
    mixture = np.einsum("m,mn->n", weights[used].astype(np.float32), probs)
    return np.maximum(mixture, FLOOR, out=mixture)


def _spans(rows: int) -> list[slice]:
    """Return blocks of rows, small enough for the cache and for precise sums in float32."""
    return [slice(start, start + BLOCK) for start in range(0, rows, BLOCK)]

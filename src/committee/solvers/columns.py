"""Values of logits `[M, N, C]` that many fits need, computed in one pass and cached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError
from committee.predictions.target_types import CLASSES

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

TILE = 2**17
SMALLEST = 1e-30


@dataclass(frozen=True, eq=False)
class Columns:
    """The results of one pass over the logits.

    Attributes
    ----------
    logits : float32 array [A, B, C], or Blocks
        The logits of all members and rows, in place.
    normalizer : float32 array [M, N]
        Log of the sum of exponentials over the classes: logits minus this are log-probabilities.
    label : float32 array [M, N]
        Log-probability of the label of each row. The log-loss of a mixture depends on nothing else.
    rows : int64 array [N], optional
        The rows of `logits` that are meant; all of them by default.
    places : int64 array [M], optional
        The members of `logits` that are meant; all of them by default.

    See Also
    --------
    columns : Compute or look up the columns of predictions.
    """

    logits: NDArray[np.float32]
    normalizer: NDArray[np.float32]
    label: NDArray[np.float32]
    rows: NDArray[np.int64] | None = None
    places: NDArray[np.int64] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of members, rows and classes."""
        return *self.label.shape, self.logits.shape[2]

    def part(self, member: int, span: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the logits `[B, C]` of a member on some of the rows."""
        place = member if self.places is None else self.places[member]
        found: NDArray[np.float32] = self.logits[place, span if self.rows is None else self.rows[span]]
        return found

    def tile(self, members: Iterable[int], span: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a copy of the logits `[S, B, C]` of some members on some of the rows."""
        return np.stack([self.part(member, span) for member in members])


_known: WeakKeyDictionary[Predictions, Columns] = WeakKeyDictionary()


def columns(predictions: Predictions) -> Columns:
    """Return the columns of labeled predictions; they are computed once.

    Raises
    ------
    DataError
        The predictions are dense, so that a row does not have one label.
    """
    if predictions.logits.ndim != 3:
        raise DataError(
            "combiner",
            expected="logits [members, samples, classes] to fit on",
            got=str(list(predictions.logits.shape)),
        )
    if predictions not in _known:
        _known[predictions] = _read(predictions)
    return _known[predictions]


def prepare(predictions: Predictions) -> None:
    """Compute the columns of labeled classes, which fits on parts of the rows share; numbers have none."""
    if predictions.target_type.of_rows is CLASSES:
        columns(predictions)


def take(predictions: Predictions, rows: NDArray[np.int64], *, logits: bool = True) -> Predictions:
    """Return `predictions.rows(rows)` with the columns of those rows, if they are known.

    With `logits=False` the logits are left out (the result has zero classes), so that a large array is not
    copied for fits that read the columns only; `columns(result)` reads logits from the whole array.
    """
    whole = _known.get(predictions)
    if whole is not None and not logits:
        predictions = replace(predictions, logits=predictions.logits[:, :, :0])
    part = predictions.rows(rows)
    if whole is not None:
        parts = whole.normalizer[:, rows], whole.label[:, rows]
        if logits:
            _known[part] = Columns(part.logits, *parts)
        else:
            rows = rows if whole.rows is None else whole.rows[rows]
            _known[part] = replace(whole, normalizer=parts[0], label=parts[1], rows=rows)
    return part


def pick(predictions: Predictions, members: Sequence[str], *, logits: bool = True) -> Predictions:
    """Return `predictions.select(members)` with the columns of those members, if they are known.

    With `logits=False` the logits are left out, as by `take`.
    """
    whole = _known.get(predictions)
    if whole is not None and not logits:
        predictions = replace(predictions, logits=predictions.logits[:, :, :0])
    part = predictions.select(members)
    if whole is not None:
        chosen = np.array([predictions.members.index(name) for name in members])
        places = chosen if whole.places is None else whole.places[chosen]
        parts = whole.normalizer[chosen], whole.label[chosen]
        _known[part] = replace(whole, normalizer=parts[0], label=parts[1], places=places)
    return part


def spans(rows: int, classes: int) -> list[slice]:
    """Return consecutive spans of the rows, of which `[B, classes]` values fit in the cache."""
    block = max(16, TILE // classes)
    return [slice(start, start + block) for start in range(0, rows, block)]


def by_name(predictions: Predictions) -> NDArray[np.int64]:
    """Return the positions of the members in the order of their names.

    Fits that use this order do not depend on the order in which members are given.
    """
    return np.argsort(np.array(predictions.members), kind="stable")


def _read(predictions: Predictions) -> Columns:
    logits, labels = predictions.logits, predictions.require_labels("combiner")
    members, rows, classes = logits.shape
    normalizer, label = np.empty((2, members, rows), np.float32)
    block = max(16, TILE // classes)
    buffer, every = np.empty((block, classes), np.float32), np.arange(block)
    for member in range(members):
        for start in range(0, rows, block):
            span, tile = slice(start, start + block), logits[member, start : start + block]
            total = log_sum(tile, buffer[: len(tile)])
            normalizer[member, span] = total
            np.subtract(tile[every[: len(tile)], labels[span]], total, out=label[member, span])
    return Columns(logits, normalizer, label)


def log_sum(tile: NDArray[np.float32], buffer: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Return the log of the sum of exponentials of each row of `[B, C]`."""
    ones = np.ones(tile.shape[1], np.float32)
    with np.errstate(over="ignore"):
        total = np.exp(tile, out=buffer) @ ones
    # The usual shift by the maximum would take as long as all the rest: use it only on overflow or underflow.
    if total.min() > SMALLEST and total.max() < np.inf:
        return np.log(total)
    shift = tile.max(axis=1)
    return np.log(np.exp(tile - shift[:, None], out=buffer) @ ones) + shift

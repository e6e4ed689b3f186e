"""The parts of a big `[M, N, C]` array that fits need again and again, read once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

TILE = 2**17
SMALLEST = 1e-30


@dataclass(frozen=True, eq=False)
class Columns:
    """What one pass over the logits finds.

    Attributes
    ----------
    logits : float32 [M, N, C]
        What was read.
    normalizer : float32 [M, N]
        Log of the sum of exponentials over the classes: logits minus this are log-probabilities.
    label : float32 [M, N]
        Log-probability of each row's label. All that the log-loss of any mixture depends on.
    """

    logits: NDArray[np.float32]
    normalizer: NDArray[np.float32]
    label: NDArray[np.float32]

    @cached_property
    def guess(self) -> NDArray[np.int64]:
        """The most probable class, int64 `[M, N]`."""
        return np.stack([logits.argmax(axis=1) for logits in self.logits])


_known: WeakKeyDictionary[Predictions, Columns] = WeakKeyDictionary()


def columns(predictions: Predictions) -> Columns:
    """Return the columns of labeled predictions; a second call costs nothing.

    Raises
    ------
    DataError
        The predictions are dense: a fit needs one label a row.
    """
    if predictions.logits.ndim != 3:
        raise DataError(
            "combiner",
            expected="logits [members, samples, classes] to learn from",
            got=str(list(predictions.logits.shape)),
        )
    if predictions not in _known:
        _known[predictions] = _read(predictions)
    return _known[predictions]


def take(predictions: Predictions, rows: NDArray[np.int64], *, logits: bool = True) -> Predictions:
    """Return `predictions.rows(rows)`, which inherits the columns that are known.

    Without `logits` a large array is not copied for fits that read its columns alone: it has no classes then.
    """
    whole = _known.get(predictions)
    if whole is not None and not logits:
        predictions = replace(predictions, logits=predictions.logits[:, :, :0])
    part = predictions.rows(rows)
    if whole is not None:
        _known[part] = Columns(part.logits, whole.normalizer[:, rows], whole.label[:, rows])
    return part


def by_name(predictions: Predictions) -> NDArray[np.int64]:
    """Return the members' positions in the order of their names, so that no fit depends on their order."""
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
    # Without a shift by the maximum, which would take as long as all else, unless a sum leaves float32.
    if total.min() > SMALLEST and total.max() < np.inf:
        return np.log(total)
    shift = tile.max(axis=1)
    return np.log(np.exp(tile - shift[:, None], out=buffer) @ ones) + shift

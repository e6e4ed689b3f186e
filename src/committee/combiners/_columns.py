"""The parts of a big `[M, N, C]` array that fits need again and again, read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from committee.errors import DataError

if TYPE_CHECKING:
    from committee.predictions import Predictions

TILE = 2**18


@dataclass(frozen=True, eq=False)
class Columns:
    """What one pass over the logits finds.

    Attributes
    ----------
    normaliser : float32 [M, N]
        Log of the sum of exponentials over the classes: logits minus this are log-probabilities.
    label : float32 [M, N]
        Log-probability of each row's label. All that the log-loss of any mixture depends on.
    top : float32 [M, N]
        Largest log-probability of each row.
    guess : int64 [M, N]
        The class that has it.
    """

    normaliser: NDArray[np.float32]
    label: NDArray[np.float32]
    top: NDArray[np.float32]
    guess: NDArray[np.int64]


_known: WeakKeyDictionary[Predictions, Columns] = WeakKeyDictionary()


def columns(predictions: Predictions) -> Columns:
    """Return the columns of labelled predictions; a second call costs nothing.

    Raises
    ------
    DataError
        The predictions are dense: a fit needs one label a row.
    """
    if predictions.logits.ndim != 3:
        raise DataError("combiner", expected="logits [members, samples, classes] to learn from",
                        got=str(list(predictions.logits.shape)))  # fmt: skip
    if predictions not in _known:
        _known[predictions] = _read(predictions)
    return _known[predictions]


def take(predictions: Predictions, rows: NDArray[np.int64]) -> Predictions:
    """Return `predictions.rows(rows)`, which inherits the columns that are known."""
    part = predictions.rows(rows)
    if predictions in _known:
        whole = _known[predictions]
        _known[part] = Columns(
            whole.normaliser[:, rows], whole.label[:, rows], whole.top[:, rows], whole.guess[:, rows]
        )
    return part


def by_name(predictions: Predictions) -> NDArray[np.int64]:
    """Return the members' positions in the order of their names, so that no fit depends on their order."""
    return np.argsort(np.array(predictions.members), kind="stable")


def _read(predictions: Predictions) -> Columns:
    logits, labels = predictions.logits, torch.from_numpy(predictions.require_labels("combiner").copy())
    members, rows, classes = logits.shape
    normaliser, label, top = np.empty((3, members, rows), np.float32)
    guess = np.empty((members, rows), np.int64)
    block = max(16, TILE // classes)
    for member in range(members):
        for start in range(0, rows, block):
            span = slice(start, start + block)
            tile = torch.from_numpy(np.array(logits[member, span]))
            total = tile.logsumexp(dim=1)
            highest, place = tile.max(dim=1)
            normaliser[member, span] = total.numpy()
            top[member, span], guess[member, span] = (highest - total).numpy(), place.numpy()
            label[member, span] = (tile.gather(1, labels[span, None])[:, 0] - total).numpy()
    return Columns(normaliser, label, top, guess)

"""What stacking learners share: what they are shown, in which order, and how their strength is chosen."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.combiners._crossfit import redraw_folds
from committee.combiners._meta_features import INPUTS, meta_features
from committee.combiners.base import Combiner, check_choice
from committee.errors import DataError
from committee.solvers.columns import by_name

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

CHOICE_ROWS = 5000
"""Rows on which a strength is chosen: it follows from noise and features, hardly from the number of rows."""
UNSEEN = -20.0
"""Log-probability of a class that had no rows, before all are normalized."""
AT_ONCE = 2**22

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]


class Stacker(Combiner):
    """A learner on the members' answers; a subclass says which.

    Members are taken in the order of their names, and classes in that of their mean probability, so that no
    random draw depends on how either are numbered.
    """

    calibrates = True
    allows_negative_weights = True

    def __init__(self, features: str, extras: bool, folds: int, seed: int) -> None:
        super().__init__()
        self.features = features
        self.extras = extras
        self.folds = folds
        self.seed = seed

    def affordable(self, members: int, rows: int, classes: int) -> bool:
        """Return False: a fit trains a model, several times over to choose its strength."""
        return False

    def _fit(self, predictions: Predictions) -> None:
        """Choose the strength inside the rows, then fit all of them."""
        check_choice(f"{self.key}.features", self.features, INPUTS)
        labels = predictions.require_labels(self.key)
        present = np.unique(labels)
        if len(present) < 2:
            raise DataError(self.key, expected="rows of at least two classes", got="one")
        members, rows, classes = predictions.logits.shape
        self.check_size(members, rows, len(present))
        order, class_order = by_name(predictions), _class_order(predictions)
        known = class_order[np.isin(class_order, present)]
        place = np.full(classes, len(known))
        place[known] = np.arange(len(known))
        places = np.flatnonzero(np.isin(class_order, present))
        self.set_buffers(member_order=order, class_order=class_order, place=place, known_places=places)
        self._notes = self.train_on(self._all_features(predictions), place[labels], len(known), predictions)

    def check_size(self, members: int, rows: int, classes: int) -> None:
        """Refuse, before anything is fitted, what would become too large."""

    @abstractmethod
    def train_on(
        self, features: Floats, labels: Rows, classes: int, predictions: Predictions
    ) -> dict[str, Any]:
        """Fit, `keep` the result, and return the notes.

        Parameters
        ----------
        features : float32 [N, F]
        labels : int64 [N]
            Of the `classes` that have rows, K.
        predictions : Predictions
            The rows, for drawing folds.
        """

    @abstractmethod
    def scores(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return unnormalized log-probabilities `[B, K]` of the classes that had rows.

        Parameters
        ----------
        features : tensor `[B, F]`
        logits : tensor `[M, B, C]`
            What they were made of, members and classes in this rule's order.
        """

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C]` for logits `[M, B, C]`."""
        arranged = self._arranged(logits)
        known = self.scores(self._shown(arranged), arranged).log_softmax(dim=1)
        unseen = torch.full_like(known[:, :1], UNSEEN)
        return torch.cat([known, unseen], dim=1).index_select(1, self.learned("place")).log_softmax(dim=1)

    def held_out(self, predictions: Predictions) -> list[tuple[Rows, Rows]]:
        """Return pairs of rows to fit on and to judge by, for choosing a strength: all of some rows."""
        some = np.random.default_rng(self.seed).permutation(len(predictions))[:CHOICE_ROWS]
        folds = redraw_folds(predictions.select([]).rows(some), self.seed, self.folds)
        return [(some[folds != fold], some[folds == fold]) for fold in np.unique(folds)]

    def _arranged(self, logits: Tensor) -> Tensor:
        ordered = logits.index_select(0, self.learned("member_order"))
        return ordered.index_select(2, self.learned("class_order"))

    def _shown(self, arranged: Tensor) -> Tensor:
        return meta_features(arranged, self.features, self.extras)

    def _all_features(self, predictions: Predictions) -> Floats:
        members, rows, classes = predictions.logits.shape
        step = max(1, AT_ONCE // (members * classes))
        tiles = (predictions.logits[:, start : start + step] for start in range(0, rows, step))
        shown = [self._shown(self._arranged(torch.from_numpy(np.array(tile)))).numpy() for tile in tiles]
        return np.concatenate(shown)


def _class_order(predictions: Predictions) -> Rows:
    """Return the classes from the most to the least probable in the mean over members and rows."""
    order = by_name(predictions)
    total = np.zeros(predictions.logits.shape[2])
    for member in order:
        log_probs = torch.from_numpy(np.array(predictions.logits[member])).log_softmax(dim=1)
        total += log_probs.exp().mean(dim=0, dtype=torch.float64).numpy()
    return np.argsort(-total, kind="stable")

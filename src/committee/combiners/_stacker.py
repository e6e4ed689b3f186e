"""The base class of stacking learners: their features, the order of members and classes, and the tuning."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.combiners._meta_features import INPUTS, meta_features
from committee.combiners.base import Combiner, check_choice
from committee.errors import DataError
from committee.solvers.columns import by_name
from committee.solvers.cross_fit import redraw_folds

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

TUNING_ROWS = 5000
"""Rows on which a hyperparameter is tuned: the best value depends little on the number of rows."""
UNSEEN = -20.0
"""Log-probability of a class without rows, before normalization."""
AT_ONCE = 2**22
AUTO = "auto"

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]


class Trained(NamedTuple):
    """A trained model: its tensors, its notes, and the log-loss of the held-out rows in its tuning."""

    tensors: dict[str, Any]
    notes: dict[str, Any]
    log_loss: float


class Stacker(Combiner):
    """A learner on features of the members' outputs (stacked generalization, Wolpert 1992).

    Members are used in the order of their names, and classes in the order of their mean probability, so that
    no random number depends on the order in which they are given. A subclass implements `train_on` and
    `scores`.

    Parameters
    ----------
    features : {"auto", "log_probability", "probability"}
        The form of the members' outputs. With "auto", the model is tuned and trained with each of `forms`,
        and the one with the smaller log-loss on the held-out rows of the tuning is kept.
    extras : bool
        Whether to add entropies, margins and the disagreement of the members; see `meta_features`.
    folds : int
        Largest number of folds for tuning.
    seed : int
        Seed of the folds.

    Attributes
    ----------
    forms : tuple of str
        The forms that "auto" compares.
    """

    forms: ClassVar[tuple[str, ...]] = INPUTS
    calibrates = True
    allows_negative_weights = True

    def __init__(self, features: str, extras: bool, folds: int, seed: int) -> None:
        super().__init__()
        self.features = features
        self.extras = extras
        self.folds = folds
        self.seed = seed

    def _fit(self, predictions: Predictions) -> None:
        """Order members and classes, and train on the features of all rows."""
        check_choice(f"{self.key}.features", self.features, (AUTO, *INPUTS))
        labels = predictions.require_labels(self.key)
        present = np.unique(labels)
        if len(present) < 2:
            raise DataError(self.key, expected="rows of at least two classes", got="one class")
        members, rows, classes = predictions.logits.shape
        self.check_size(members, rows, len(present))
        order, class_order = by_name(predictions), _class_order(predictions)
        known = class_order[np.isin(class_order, present)]
        place = np.full(classes, len(known))
        place[known] = np.arange(len(known))
        places = np.flatnonzero(np.isin(class_order, present))
        self.set_buffers(member_order=order, class_order=class_order, place=place, known_places=places)
        trained = {
            form: self.train_on(self._all_features(predictions, form), place[labels], len(known), predictions)
            for form in (self.forms if self.features == AUTO else (self.features,))
        }
        self._keep_best(trained)

    def _keep_best(self, trained: dict[str, Trained]) -> None:
        """Keep the model of the form of features with the smallest log-loss."""
        form = min(trained, key=lambda each: trained[each].log_loss)
        self.set_buffers(**trained[form].tensors)
        self._notes = {**trained[form].notes, "features": form}
        if len(trained) > 1:
            losses = {each: found.log_loss for each, found in trained.items()}
            self._notes["log_loss_by_features"] = losses

    def check_size(self, members: int, rows: int, classes: int) -> None:
        """Raise a UsageError if the model would become too large, before it is fitted."""

    @abstractmethod
    def train_on(self, features: Floats, labels: Rows, classes: int, predictions: Predictions) -> Trained:
        """Tune and fit the model, and return it.

        Parameters
        ----------
        features : float32 array [N, F]
        labels : int64 array [N]
            Positions among the K classes that have rows.
        classes : int
            Number of these classes, K.
        predictions : Predictions
            The rows, for drawing folds.
        """

    @abstractmethod
    def scores(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return unnormalized log-probabilities `[B, K]` of the classes that have rows.

        Parameters
        ----------
        features : tensor [B, F]
        logits : tensor [M, B, C]
            The logits from which the features were computed, with members and classes in the order of this
            rule.
        """

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C]` for logits `[M, B, C]`."""
        ordered = self._ordered(logits)
        known = self.scores(self._features(ordered), ordered).log_softmax(dim=1)
        unseen = torch.full_like(known[:, :1], UNSEEN)
        return torch.cat([known, unseen], dim=1).index_select(1, self.learned("place")).log_softmax(dim=1)

    def held_out(self, predictions: Predictions) -> list[tuple[Rows, Rows]]:
        """Return pairs of rows for tuning, to fit on and to evaluate; they partition `TUNING_ROWS` rows."""
        some = np.random.default_rng(self.seed).permutation(len(predictions))[:TUNING_ROWS]
        folds = redraw_folds(predictions.select([]).rows(some), self.seed, self.folds)
        return [(some[folds != fold], some[folds == fold]) for fold in np.unique(folds)]

    def _ordered(self, logits: Tensor) -> Tensor:
        ordered = logits.index_select(0, self.learned("member_order"))
        return ordered.index_select(2, self.learned("class_order"))

    def _features(self, ordered: Tensor) -> Tensor:
        return meta_features(ordered, self._notes["features"], self.extras)

    def _all_features(self, predictions: Predictions, form: str) -> Floats:
        members, rows, classes = predictions.logits.shape
        step = max(1, AT_ONCE // (members * classes))
        tiles = (predictions.logits[:, start : start + step] for start in range(0, rows, step))
        return np.concatenate(
            [
                meta_features(self._ordered(torch.from_numpy(np.array(tile))), form, self.extras).numpy()
                for tile in tiles
            ]
        )


def _class_order(predictions: Predictions) -> Rows:
    """Return the classes in descending order of their mean probability over members and rows."""
    order = by_name(predictions)
    total = np.zeros(predictions.logits.shape[2])
    for member in order:
        log_probs = torch.from_numpy(np.array(predictions.logits[member])).log_softmax(dim=1)
        total += log_probs.exp().mean(dim=0, dtype=torch.float64).numpy()
    return np.argsort(-total, kind="stable")

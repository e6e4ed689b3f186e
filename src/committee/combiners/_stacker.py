"""The base class of stacking learners: their features, the order of members, and the tuning."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.combiners.base import Combiner, check_choice
from committee.solvers.columns import by_name
from committee.solvers.cross_fit import network_folds

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

TUNING_ROWS = 5000
"""Rows on which a hyperparameter is tuned: the best value depends little on the number of rows."""
AT_ONCE = 2**22
AUTO = "auto"
LIMITS = "feature_limits"
"""Buffer `[2, F]` with the smallest and the largest value of each feature on the rows of the fit."""

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]


class Trained(NamedTuple):
    """A trained model: its tensors, its notes, and the loss of the held-out rows in its tuning."""

    tensors: dict[str, Any]
    notes: dict[str, Any]
    loss: float


class Stacker(Combiner):
    """A learner on features of the members' outputs (stacked generalization, Wolpert 1992).

    Members are used in the order of their names, and classes in the order of their mean probability, so that
    no random number depends on the order in which they are given. Numbers are standardized by the mean and
    the standard deviation of their target. A subclass implements `train_on` and `scores`.

    What is learned is applied to networks that did not predict the rows of the fit. So settings are tuned by
    leaving out the folds of networks, if there are several, and features of classes are limited to the range
    that they have on the rows of the fit: beyond it, a learner would extrapolate.

    Parameters
    ----------
    features : {"auto", "log_probability", "probability", "value"}
        The form of the members' outputs: `log_probability` or `probability` of classes, `value` of numbers.
        With "auto", the model is tuned and trained with each of `forms`, and the one with the smaller loss on
        the held-out rows of the tuning is kept.
    extras : bool
        Whether to add entropies, margins and the disagreement of the members; see `meta_features`. Of
        numbers, their mean and standard deviation over the members.
    folds : int
        Largest number of folds for tuning.
    seed : int
        Seed of the folds.
    """

    calibrates = True
    allows_negative_weights = True

    def __init__(self, features: str, extras: bool, folds: int, seed: int) -> None:
        super().__init__()
        self.features = features
        self.extras = extras
        self.folds = folds
        self.seed = seed

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms of features that "auto" compares."""
        return self.task.stacking.forms

    def _fit(self, predictions: Predictions) -> None:
        """Order the members, and train on the features of all rows."""
        check_choice(f"{self.key}.features", self.features, (AUTO, *self.task.stacking.forms))
        order = by_name(predictions)
        tensors, targets, outputs = self.task.stacking.read(predictions, order, self.key)
        self.check_size(len(order), len(predictions), outputs)
        self.set_buffers(member_order=order, **tensors)
        trained = {
            form: self._trained(form, targets, outputs, predictions)
            for form in (self.forms if self.features == AUTO else (self.features,))
        }
        self._keep_best(trained)

    def _trained(self, form: str, targets: NDArray[Any], outputs: int, predictions: Predictions) -> Trained:
        """Train on one form of features, and add their range to the tensors."""
        features = self._all_features(predictions, form)
        found = self.train_on(features, targets, outputs, predictions)
        if not self.task.stacking.bounded:
            return found
        limits = {LIMITS: np.stack([features.min(axis=0), features.max(axis=0)])}
        return found._replace(tensors={**found.tensors, **limits})

    def _keep_best(self, trained: dict[str, Trained]) -> None:
        """Keep the model of the form of features with the smallest loss."""
        form = min(trained, key=lambda each: trained[each].loss)
        self.set_buffers(**trained[form].tensors)
        self._notes = {**trained[form].notes, "features": form}
        if len(trained) > 1:
            losses = {each: found.loss for each, found in trained.items()}
            self._notes[f"{self.task.stacking.loss}_by_features"] = losses

    def check_size(self, members: int, rows: int, outputs: int) -> None:
        """Raise a UsageError if the model would become too large, before it is fitted."""

    @abstractmethod
    def train_on(
        self, features: Floats, targets: NDArray[Any], outputs: int, predictions: Predictions
    ) -> Trained:
        """Tune and fit the model, and return it.

        Parameters
        ----------
        features : float32 array [N, F]
        targets : int64 array [N] or float32 array [N, K]
            Positions among the K classes that have rows, or standardized numbers.
        outputs : int
            Number of these classes or of the targets, K.
        predictions : Predictions
            The rows, for drawing folds.
        """

    @abstractmethod
    def scores(self, features: Tensor, arranged: Tensor) -> Tensor:
        """Return unnormalized log-probabilities of the classes that have rows, or numbers, `[B, K]`.

        Parameters
        ----------
        features : tensor [B, F]
        arranged : tensor [M, B, C]
            The outputs from which the features were computed, with members and classes in the order of this
            rule, or standardized numbers.
        """

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities or numbers `[B, C]` for outputs `[M, B, C]`."""
        arranged = self._arranged(logits)
        scores = self.scores(self._features(arranged), arranged)
        return self.task.stacking.outputs(scores, self.learned)

    def held_out(self, predictions: Predictions) -> list[tuple[Rows, Rows]]:
        """Return pairs of rows for tuning, to fit on and to evaluate; they partition `TUNING_ROWS` rows."""
        some = np.random.default_rng(self.seed).permutation(len(predictions))[:TUNING_ROWS]
        folds = network_folds(predictions.select([]).rows(some), self.seed, self.folds)
        return [(some[folds != fold], some[folds == fold]) for fold in np.unique(folds)]

    def _arranged(self, logits: Tensor) -> Tensor:
        ordered = logits.index_select(0, self.learned("member_order"))
        return self.task.stacking.arranged(ordered, self.learned)

    def _features(self, arranged: Tensor) -> Tensor:
        features = self.task.stacking.features(arranged, self._notes["features"], self.extras)
        if not self.task.stacking.bounded or LIMITS not in self._buffers:  # or stored by an earlier version
            return features
        lowest, highest = self.learned(LIMITS).to(features.dtype)
        return features.clamp(lowest, highest)

    def _all_features(self, predictions: Predictions, form: str) -> Floats:
        members, rows, outputs = predictions.logits.shape
        step = max(1, AT_ONCE // (members * outputs))
        tiles = (predictions.logits[:, start : start + step] for start in range(0, rows, step))
        arranged = (self._arranged(torch.from_numpy(np.array(tile))) for tile in tiles)
        return np.concatenate(
            [self.task.stacking.features(each, form, self.extras).numpy() for each in arranged]
        )

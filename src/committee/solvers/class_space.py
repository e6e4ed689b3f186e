"""Stacking of classes: features are log-probabilities or probabilities, the loss is the log-loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from committee.errors import DataError
from committee.solvers.meta_features import INPUTS, meta_features
from committee.solvers.stacking_space import Floats, Learned, Rows, StackingSpace

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

UNSEEN = -20.0
"""Log-probability of a class without rows, before normalization."""
FLOOR = 1e-6
"""Smallest total probability of all classes: a forest can predict 0, for which the log-loss is infinite."""


class ClassSpace(StackingSpace):
    """Classes in the order of their mean probability, so that no random number depends on their order.

    A learner has a score for each of the K classes that have rows; the others have a constant, very low one.

    See Also
    --------
    committee.solvers.number_space.NumberSpace : The same for numbers.
    """

    forms = INPUTS
    loss = "log_loss"
    # A network on new images may be far more confident than on the rows of the fit.
    bounded = True

    def read(
        self, predictions: Predictions, order: Rows, who: str
    ) -> tuple[dict[str, NDArray[Any]], NDArray[Any], int]:
        """Return the order of classes, and the place of each label among the classes that have rows."""
        labels = predictions.require_labels(who)
        present = np.unique(labels)
        if len(present) < 2:
            raise DataError(who, expected="rows of at least two classes", got="one class")
        class_order = _class_order(predictions, order)
        known = class_order[np.isin(class_order, present)]
        place = np.full(predictions.logits.shape[2], len(known))
        place[known] = np.arange(len(known))
        places = np.flatnonzero(np.isin(class_order, present))
        tensors = {"class_order": class_order, "place": place, "known_places": places}
        return tensors, place[labels], len(known)

    def arranged(self, outputs: Tensor, learned: Learned) -> Tensor:
        """Return logits with the classes in order."""
        return outputs.index_select(2, learned("class_order"))

    def features(self, arranged: Tensor, form: str, extras: bool) -> Tensor:
        """Return the features of logits; see `meta_features`."""
        return meta_features(arranged, form, extras)

    def mean(self, arranged: Tensor, learned: Learned) -> Tensor:
        """Return the log of the members' mean probability of the classes that have rows."""
        pooled = arranged.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(arranged))
        return pooled.index_select(1, learned("known_places"))

    def outputs(self, scores: Tensor, learned: Learned) -> Tensor:
        """Return log-probabilities of all classes."""
        known = scores.log_softmax(dim=1)
        unseen = torch.full_like(known[:, :1], UNSEEN)
        return torch.cat([known, unseen], dim=1).index_select(1, learned("place")).log_softmax(dim=1)

    def mean_loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the mean log-loss."""
        return cross_entropy(scores, targets)

    def forest(self, trees: int, **options: Any) -> Any:
        """Return a `RandomForestClassifier`."""
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(trees, **options)

    def leaves(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the frequencies of the classes."""
        frequencies: NDArray[np.float64] = value[:, 0] / value[:, 0].sum(axis=1, keepdims=True)
        return frequencies

    def of_leaves(self, means: Tensor) -> Tensor:
        """Return the log of the mean frequencies."""
        return means.clamp_min(FLOOR / means.shape[1]).log()

    def forest_loss(self, forest: Any, features: Floats, targets: NDArray[Any], outputs: int) -> float:
        """Return the sum of the log-loss."""
        probs = np.zeros((len(features), outputs))
        probs[:, forest.classes_] = forest.predict_proba(features)
        probs = np.maximum(probs, FLOOR / outputs)
        right = probs[np.arange(len(features)), targets] / probs.sum(axis=1)
        return float(-np.log(right).sum())

    def count(self, learned: Learned) -> int:
        """Return the number of classes that have rows."""
        return len(learned("known_places"))

    def boosting(self, outputs: int) -> dict[str, Any]:
        """Return settings for the softmax; the initial score cancels, because all classes have the same."""
        objective = {"objective": "multi:softprob", "num_class": outputs}
        return {**objective, "eval_metric": "mlogloss", "base_score": 0.5}

    def boosting_loss(self, curve: Sequence[float]) -> NDArray[np.float64]:
        """Return the log-loss, which XGBoost reports."""
        return np.array(curve)


def _class_order(predictions: Predictions, order: Rows) -> Rows:
    """Return the classes in descending order of their mean probability over members and rows."""
    total = np.zeros(predictions.logits.shape[2])
    for member in order:
        log_probs = torch.from_numpy(np.array(predictions.logits[member])).log_softmax(dim=1)
        total += log_probs.exp().mean(dim=0, dtype=torch.float64).numpy()
    return np.argsort(-total, kind="stable")

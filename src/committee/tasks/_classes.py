"""Shared code of the tasks whose labels are classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from committee.base.objectives import OBJECTIVES
from committee.base.tracing import is_tracing
from committee.metrics.classification import METRICS, confusion, mistakes, per_class
from committee.metrics.conformal import METHODS
from committee.metrics.curves import Reliability, reliability, risk_coverage
from committee.metrics.custom import CustomMetric
from committee.metrics.risk import RiskCoverage
from committee.metrics.summaries import Rows, summary
from committee.predictions.table import Predictions
from committee.solvers.brier import BrierLoss, residual_products
from committee.solvers.class_space import ClassSpace
from committee.solvers.columns import columns
from committee.solvers.experts import ClassExperts
from committee.solvers.pool_losses import LinearPool, LogPool
from committee.solvers.pools import equal_weights, linear_pool, log_pool
from committee.solvers.search import Mixtures, Search, mixture_for, search_for
from committee.solvers.simplex import Loss
from committee.tasks.base import Task

CONFUSION_CLASSES = 1000
"""Largest number of classes whose confusion matrix is written; it has the square of this number of values."""
LISTED_MISTAKES = 100
LOG_LOSS = "log_loss"
LOG_TINY = float(np.log(np.finfo(np.float32).tiny))


def _is_known_finite(outputs: Tensor) -> bool:
    """Return whether outputs are on a CPU, where their values are at hand, and none is -inf or NaN.

    While a graph is recorded, outputs have no values; inside of `torch.func.vmap`, they cannot be read.
    """
    if outputs.device.type != "cpu" or not outputs.numel() or is_tracing():
        return False
    with suppress(RuntimeError):
        return outputs.amin().item() > -math.inf
    return False


class OfClasses(Task):
    """Outputs are logits, labels are classes, and members are pooled by their probabilities."""

    metrics = METRICS
    custom = CustomMetric
    objectives = OBJECTIVES
    proof = ("log_loss", "accuracy")
    guarded = "accuracy"
    brief: ClassVar[tuple[str, ...]] = ("accuracy", "log_loss", "ece")
    spaces = ("probability", "logit")
    stacking = ClassSpace()
    calibrations = ("pooled", "vector", "members", "none")
    conformal: ClassVar[tuple[str, ...]] = METHODS
    formats = ("probabilities", "labels")
    methods = ("soft_voting", "hard_voting", "logit_averaging", "weighted")
    learner = "lr"
    fused = ("soft_voting", "logit_averaging")
    loss = "cross_entropy"
    taught_by = "kd"
    blended_by = "log_loss"
    judged = ("log_loss", "accuracy", "f1_macro")
    logits = True

    def read(self, outputs: ArrayLike, labels: ArrayLike) -> Rows:
        """Return the rows of normalized log-probabilities `[N, C]` and class indices `[N]`."""
        return Rows.read(outputs, labels)

    def link(self, outputs: Tensor) -> Tensor:
        """Return probabilities."""
        return outputs.softmax(dim=1)

    def linked(self, combined: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the exponential, since combined outputs are log-probabilities."""
        return np.exp(combined)

    def normalized(self, outputs: Tensor) -> Tensor:
        """Return log-probabilities."""
        return outputs.log_softmax(dim=-1)

    def finite(self, outputs: Tensor, dim: int = 1) -> Tensor:
        """Return logits without -inf, which is a probability of 0 along `dim`; NaN stays NaN.

        As in `Predictions`, it counts as that of the smallest float32, so that combiners give finite results.
        """
        if _is_known_finite(outputs):
            return outputs
        smallest = outputs.logsumexp(dim, keepdim=True) + LOG_TINY
        return torch.where(outputs == -math.inf, smallest, outputs)

    def predictions(
        self, outputs: ArrayLike, members: Sequence[str], names: Sequence[str], **rest: Any
    ) -> Predictions:
        """Return logits as predictions of classes."""
        found = Predictions.from_logits(outputs, members=members, class_names=names, **rest)
        return replace(found, target_type=self.target_type)

    def pool(self, outputs: Tensor, weight: Tensor | None = None, space: str = "probability") -> Tensor:
        """Return the log-probabilities of the linear or of the logarithmic opinion pool."""
        pool = linear_pool if space == "probability" else log_pool
        return pool(outputs, equal_weights(outputs) if weight is None else weight)

    def mix(self, outputs: Tensor, weights: Tensor) -> Tensor:
        """Return the log of the weighted mean probability; see the base class."""
        # The logarithm of zero is avoided, because some runtimes do not support it.
        chosen = (weights > 0).unsqueeze(2)
        log_weights = torch.where(weights > 0, weights, 1.0).log().unsqueeze(2)
        return torch.where(chosen, outputs.float().log_softmax(2) + log_weights, -math.inf).logsumexp(1)

    def experts(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> ClassExperts:
        """Return the log-losses of experts."""
        return ClassExperts.read(outputs, labels)

    def labeled(self, labels: Tensor) -> Tensor:
        """Return whether there is a class."""
        return labels != self.target_type.missing

    def decided(self, outputs: Tensor) -> Tensor:
        """Return the most probable class."""
        return outputs.argmax(1)

    def alike(
        self, outputs: NDArray[np.float32], others: NDArray[np.float32], labels: NDArray[Any]
    ) -> NDArray[np.bool_]:
        """Return whether the most probable class is the same."""
        return np.asarray(outputs.argmax(1) == others.argmax(1))

    def accuracy_of(self, means: NDArray[np.floating[Any]], labels: NDArray[Any]) -> float:
        """Return the share of rows whose most probable class is right."""
        return float((means.argmax(axis=1) == labels).mean())

    def mean(self, outputs: Tensor) -> Tensor:
        """Return the log of the mean probability."""
        return outputs.log_softmax(2).logsumexp(0) - math.log(len(outputs))

    def averaged(self, outputs: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """Return probabilities."""
        return np.exp(torch.from_numpy(outputs).log_softmax(1).numpy())

    def from_average(self, means: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return log-probabilities; a mean of 0 counts as the smallest float32."""
        return np.log(np.maximum(means, np.finfo(np.float32).tiny)).astype(np.float32)

    def blend_loss(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> float:
        """Return the log-loss."""
        log_probs = torch.from_numpy(outputs).log_softmax(1).numpy()
        return self.evaluate(log_probs, labels, [LOG_LOSS])[LOG_LOSS]

    def row_losses(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> NDArray[np.float64]:
        """Return the log-loss of each row."""
        log_probs = torch.from_numpy(outputs).double().log_softmax(1).numpy()
        return np.asarray(-log_probs[np.arange(len(labels)), labels])

    def details(
        self, outputs: NDArray[np.float32], labels: NDArray[Any], names: Sequence[str], **rest: Any
    ) -> dict[str, Any]:
        """Return results per class, the most frequent mistakes, and the confusion matrix of few classes."""
        found = summary(outputs, labels)
        pairs = mistakes(found, LISTED_MISTAKES).tolist()
        return {
            "per_class": per_class(found, names),
            "absent_classes": [names[index] for index in np.flatnonzero(found.actual == 0).tolist()],
            "mistakes": [
                {"class": names[true], "predicted": names[guess], "n": count} for true, guess, count in pairs
            ],
            "confusion": confusion(found).tolist() if len(names) <= CONFUSION_CLASSES else [],
        }

    def summary(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> dict[str, float]:
        """Return the metrics of short tables, and the mean confidence of log-probabilities."""
        confidence = float(np.exp(outputs.max(axis=1)).mean())
        return {**super().summary(outputs, labels), "confidence": confidence}

    def described(self, outputs: NDArray[np.floating[Any]], names: Sequence[str]) -> list[str]:
        """Return the most probable class and its probability."""
        best, probabilities = outputs.argmax(axis=1), self.averaged(np.asarray(outputs, np.float32))
        shares = np.take_along_axis(probabilities, best[:, None], 1)[:, 0]
        return [f"{names[index]} {share:.0%}" for index, share in zip(best.tolist(), shares, strict=True)]

    def labels_in_words(self, labels: NDArray[Any], names: Sequence[str]) -> list[str]:
        """Return the names of classes."""
        return [names[label] for label in labels.tolist()]

    def reliability(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> Reliability:
        """Return the reliability diagram of log-probabilities."""
        return reliability(outputs, labels)

    def risk(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> RiskCoverage:
        """Return the risk-coverage curve of log-probabilities."""
        return risk_coverage(outputs, labels)

    def search(self, predictions: Predictions, metric: str, who: str) -> Search:
        """Return the search by a metric of the mean probability."""
        return search_for(predictions, metric, who)

    def mixtures(self, predictions: Predictions, metric: str, who: str, space: str) -> Mixtures:
        """Return the mixtures of probabilities or of log-probabilities."""
        return mixture_for(predictions, metric, who, space)

    def pool_loss(
        self, predictions: Predictions, order: NDArray[np.int64], metric: str, space: str
    ) -> Loss | None:
        """Return the log-loss, or the Brier score of the linear pool."""
        known, labels = columns(predictions), predictions.require_labels("weighted")
        if (metric, space) == ("brier", "probability"):
            return BrierLoss(residual_products(known, labels)[np.ix_(order, order)], len(predictions))
        if metric != "log_loss":
            return None
        return LinearPool(known.label[order]) if space == "probability" else LogPool(known, labels, order)

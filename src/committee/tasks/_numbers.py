"""Shared code of the tasks whose labels are numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from committee.base.objectives import NUMBER_OBJECTIVES
from committee.errors import UsageError
from committee.metrics.custom import CustomNumberMetric
from committee.metrics.distributions import METRICS as DISTRIBUTIONS
from committee.metrics.interval_table import KINDS
from committee.metrics.regression import METRICS, NumberRows
from committee.predictions.spread import spread_of
from committee.predictions.table import Predictions
from committee.solvers.brier import BrierLoss
from committee.solvers.experts import NumberExperts
from committee.solvers.number_search import number_mixtures, number_search, weight_products
from committee.solvers.number_space import NumberSpace
from committee.solvers.search import Mixtures, Search
from committee.solvers.simplex import Loss
from committee.tasks.base import Task

TINY = 1e-12
"""Smallest error in standard deviations that counts as an error."""


class OfNumbers(Task):
    """Outputs are numbers in the units of their targets, and members are pooled by their mean.

    With several targets, fits measure the errors of each in units of its standard deviation on the rows of
    the fit, so that no result depends on units.
    """

    metrics = METRICS
    further = DISTRIBUTIONS
    custom = CustomNumberMetric
    objectives = NUMBER_OBJECTIVES
    proof = ("rmse",)
    guarded = "rmse"
    brief: ClassVar[tuple[str, ...]] = ("rmse", "mae", "r2")
    spaces = ("probability",)
    stacking = NumberSpace()
    calibrations = ("none",)
    conformal: ClassVar[tuple[str, ...]] = KINDS
    formats = ("values",)
    methods = ("soft_voting", "median", "weighted", "greedy_selection")
    learner = "ridge"
    fused = ("soft_voting", "weighted")
    loss = "mse"
    taught_by = "mse_values"
    blended_by = "standardized_rmse"
    judged = ("rmse", "mae", "r2")
    logits = False

    def read(self, outputs: ArrayLike, labels: ArrayLike) -> NumberRows:
        """Return the rows of predicted and true numbers, both `[N, T]`."""
        return NumberRows.read(outputs, labels)

    def link(self, outputs: Tensor) -> Tensor:
        """Return the numbers as they are."""
        return outputs

    def linked(self, combined: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the numbers as they are."""
        return combined

    def normalized(self, outputs: Tensor) -> Tensor:
        """Return the numbers as they are."""
        return outputs

    def predictions(
        self,
        outputs: ArrayLike,
        members: Sequence[str],
        names: Sequence[str],
        labels_are: str | None = None,
        **rest: Any,
    ) -> Predictions:
        """Return numbers as predictions of targets; labels have one reading, so `labels_are` is refused."""
        if labels_are is not None:
            raise UsageError(
                str(rest.get("who", "predictions")),
                expected="no labels_are, which says how names of classes are read",
                got=repr(labels_are),
                todo="Leave it out.",
            )
        found = Predictions.from_values(outputs, members=members, target_names=names, **rest)
        return replace(found, target_type=self.target_type)

    def pool(self, outputs: Tensor, weight: Tensor | None = None, space: str = "probability") -> Tensor:
        """Return the weighted mean."""
        if weight is None:
            return outputs.mean(dim=0)
        return (outputs * weight.to(outputs.dtype).reshape(-1, *[1] * (outputs.ndim - 1))).sum(dim=0)

    def mix(self, outputs: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted mean; see the base class."""
        chosen = (weights > 0).unsqueeze(2)
        return torch.where(chosen, outputs.float() * weights.unsqueeze(2), 0.0).sum(1)

    def experts(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> NumberExperts:
        """Return the squared errors of experts."""
        return NumberExperts.read(outputs, labels)

    def labeled(self, labels: Tensor) -> Tensor:
        """Return whether there are numbers."""
        return ~labels.isnan().any(dim=1)

    def decided(self, outputs: Tensor) -> Tensor:
        """Return the numbers as they are."""
        return outputs

    def alike(
        self, outputs: NDArray[np.float32], others: NDArray[np.float32], labels: NDArray[Any]
    ) -> NDArray[np.bool_]:
        """Return whether all numbers of a row differ by at most the typical error; see the base class."""
        errors = np.sqrt(np.square(others - labels).mean(axis=0))
        return np.asarray((np.abs(outputs - others) <= errors).all(axis=1))

    def accuracy_of(self, means: NDArray[np.floating[Any]], labels: NDArray[Any]) -> float:
        """Return the inverse of the root mean squared error in units of the standard deviation."""
        errors = (means - labels) / spread_of(labels)
        return 1 / max(float(np.sqrt(np.square(errors).mean())), TINY)

    def mean(self, outputs: Tensor) -> Tensor:
        """Return the mean."""
        return outputs.mean(0)

    def averaged(self, outputs: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """Return the numbers as they are."""
        return outputs

    def from_average(self, means: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the numbers as they are."""
        return means.astype(np.float32)

    def blend_loss(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> float:
        """Return the root of the mean squared error, in units of the standard deviation of each target."""
        return float(np.sqrt(self.row_losses(outputs, labels).mean()))

    def row_losses(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> NDArray[np.float64]:
        """Return the squared error of each row, in units of the variance of each target."""
        spread = labels.std(axis=0)
        errors = (outputs - labels) / np.where(spread > 0, spread, 1.0)
        return np.asarray(np.square(errors).mean(axis=1), np.float64)

    def details(
        self, outputs: NDArray[np.float32], labels: NDArray[Any], names: Sequence[str], **rest: Any
    ) -> dict[str, Any]:
        """Return the metrics of each target, in its own unit."""
        return {
            "per_target": [
                {"target": name, **{key: asdict(value) for key, value in found.items()}}
                for index, name in enumerate(names)
                for found in (self.intervals(outputs[:, [index]], labels[:, [index]], **rest),)
            ]
        }

    def described(self, outputs: NDArray[np.floating[Any]], names: Sequence[str]) -> list[str]:
        """Return the numbers with four significant digits."""
        return self.labels_in_words(self.values(outputs), names)

    def labels_in_words(self, labels: NDArray[Any], names: Sequence[str]) -> list[str]:
        """Return numbers with four significant digits, and their names if there are several."""
        prefixes = [f"{name} " if len(names) > 1 else "" for name in names]
        return [
            ", ".join(f"{prefix}{value:.4g}" for prefix, value in zip(prefixes, row, strict=True))
            for row in labels.tolist()
        ]

    def values(self, outputs: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Return the numbers without their variances."""
        return outputs[..., 0] if outputs.ndim == 3 else outputs

    def search(self, predictions: Predictions, metric: str, who: str) -> Search:
        """Return the search by a metric of the mean."""
        return number_search(predictions, self.objective(metric, who), who)

    def mixtures(self, predictions: Predictions, metric: str, who: str, space: str) -> Mixtures:
        """Return the weighted means of members."""
        return number_mixtures(predictions, self.objective(metric, who), who)

    def pool_loss(
        self, predictions: Predictions, order: NDArray[np.int64], metric: str, space: str
    ) -> Loss | None:
        """Return the mean squared error of the weighted mean, which is quadratic in the weights."""
        if metric not in ("rmse", "r2"):
            return None
        return BrierLoss(weight_products(predictions)[np.ix_(order, order)], len(predictions))

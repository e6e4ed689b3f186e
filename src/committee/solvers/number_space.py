"""Stacking of numbers: features are standardized values, the loss is the mean squared error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import mse_loss

from committee.predictions.spread import spread_of
from committee.solvers.stacking_space import Floats, Learned, Rows, StackingSpace

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

LARGEST = 2.0**15
"""Largest feature, in standard deviations: on larger ones float32 does not resolve the grid of trees."""


class NumberSpace(StackingSpace):
    """Numbers minus the mean of their target, in units of its standard deviation in the rows of a fit.

    A learner has a score for each target, which is in these units too.

    See Also
    --------
    committee.solvers.class_space.ClassSpace : The same for classes.
    """

    forms = ("value",)
    loss = "mse"

    def read(
        self, predictions: Predictions, order: Rows, who: str
    ) -> tuple[dict[str, NDArray[Any]], NDArray[Any], int]:
        """Return mean and standard deviation of the targets, and standardized targets `[N, T]`."""
        labels = predictions.require_labels(who)
        shift, scale = (each.astype(np.float32) for each in (labels.mean(axis=0), spread_of(labels)))
        targets = ((labels - shift) / scale).astype(np.float32)
        return {"target_mean": shift, "target_scale": scale}, targets, labels.shape[1]

    def arranged(self, outputs: Tensor, learned: Learned) -> Tensor:
        """Return standardized values; those that are far away from all targets are cut."""
        shift, scale = (learned(name).to(outputs.dtype) for name in ("target_mean", "target_scale"))
        return ((outputs - shift) / scale).clamp(-LARGEST, LARGEST)

    def features(self, arranged: Tensor, form: str, extras: bool) -> Tensor:
        """Return the values by member and target, with `extras` also their mean and standard deviation."""
        parts = [arranged.transpose(0, 1).flatten(1)]
        if extras:
            center = arranged.mean(dim=0)
            parts += [center, (arranged - center).square().mean(dim=0).sqrt()]
        return torch.cat(parts, dim=1)

    def mean(self, arranged: Tensor, learned: Learned) -> Tensor:
        """Return the mean of the members."""
        return arranged.mean(dim=0)

    def outputs(self, scores: Tensor, learned: Learned) -> Tensor:
        """Return numbers in the unit of their target."""
        shift, scale = (learned(name).to(scores.dtype) for name in ("target_mean", "target_scale"))
        return scores * scale + shift

    def mean_loss(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error."""
        return mse_loss(scores, targets)

    def forest(self, trees: int, **options: Any) -> Any:
        """Return a `RandomForestRegressor`."""
        from sklearn.ensemble import RandomForestRegressor

        return RandomForestRegressor(trees, **options)

    def leaves(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of each target."""
        return value[:, :, 0]

    def of_leaves(self, means: Tensor) -> Tensor:
        """Return the means as they are."""
        return means

    def forest_loss(self, forest: Any, features: Floats, targets: NDArray[Any], outputs: int) -> float:
        """Return the sum over rows of the mean squared error of the targets."""
        errors = forest.predict(features).reshape(targets.shape) - targets
        return float(np.square(errors).mean(axis=1).sum())

    def count(self, learned: Learned) -> int:
        """Return the number of targets."""
        return len(learned("target_mean"))

    def boosting(self, outputs: int) -> dict[str, Any]:
        """Return settings for squared errors, starting at the mean of the target."""
        return {"objective": "reg:squarederror", "eval_metric": "rmse", "base_score": 0.0}

    def boosting_loss(self, curve: Sequence[float]) -> NDArray[np.float64]:
        """Return the squares of the errors that XGBoost reports."""
        return np.square(curve)

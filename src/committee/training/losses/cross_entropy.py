"""Cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from committee.recipe.training import Fit
from committee.training.fit.batches import class_weights
from committee.training.losses.base import Loss


class CrossEntropy(Loss):
    """Cross-entropy of the predicted probabilities and the classes.

    `training.class_weights` weights the rows of each class, and `training.label_smoothing` spreads a share of
    the label over all classes.

    Attributes
    ----------
    weights : float32 tensor `[C]` or None
        Weight of each class.
    smoothing : float
        Share of the label that is spread over all classes.

    See Also
    --------
    Mse : Loss of numbers.

    Examples
    --------
    >>> import torch
    >>> from committee.training.losses import CrossEntropy
    >>> loss = CrossEntropy().prepare([0, 1], ["cat", "dog"])
    >>> loss.mean(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))
    tensor(0.6931)
    """

    serves = ("classes",)
    score, name = "accuracy", "log_loss"

    def prepare(
        self,
        labels: NDArray[Any] | Sequence[Any],
        names: Sequence[str],
        scale: Sequence[float] = (),
        settings: Fit | None = None,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Set weights and smoothing; see the base class."""
        settings = settings or Fit()
        weights = class_weights(np.asarray(labels), tuple(names), settings.class_weights)
        self.weights = None if weights is None else torch.as_tensor(weights).to(device)
        self.smoothing = settings.label_smoothing
        return self

    def mean(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean, weighted by class."""
        return functional.cross_entropy(outputs, labels, self.weights, label_smoothing=self.smoothing)

    def each(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each row, times the weight of its class."""
        return functional.cross_entropy(
            outputs, labels, self.weights, label_smoothing=self.smoothing, reduction="none"
        )

    def unweighted(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each row without the weight of its class."""
        return functional.cross_entropy(outputs, labels, label_smoothing=self.smoothing, reduction="none")

    def weight(self, labels: Tensor) -> Tensor:
        """Return the weight of the class of each row."""
        return super().weight(labels) if self.weights is None else self.weights[labels]

    def scored(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the accuracy."""
        return (outputs.argmax(1) == labels).float().mean()

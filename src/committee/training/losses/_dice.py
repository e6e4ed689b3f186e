"""The soft Dice loss of maps of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from committee.recipe.training import Fit
from committee.training.losses.base import Loss

SMOOTH = 1.0
"""Pixels that are added to both sides of the ratio, so that a class without pixels has a finite loss."""


class OfOverlap(Loss):
    """A loss of the overlap of predicted and true maps."""

    serves = ("class_maps",)
    score = "accuracy"
    without_effect = {  # noqa: RUF012
        "class_weights": "every class has the same weight in the mean Dice score",
    }

    def prepare(
        self,
        labels: NDArray[Any] | Sequence[Any],
        names: Sequence[str],
        scale: Sequence[float] = (),
        settings: Fit | None = None,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Set the label smoothing; see the base class."""
        self.smoothing = (settings or Fit()).label_smoothing
        return self

    def scored(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the accuracy of the pixels that have a label."""
        right = (outputs.argmax(1) == labels).sum()
        return right.float() / (labels >= 0).sum().clamp(min=1)

    def cross_entropy(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy of the pixels of each image that have a label, `[B]`."""
        each = functional.cross_entropy(
            outputs, labels, label_smoothing=self.smoothing, reduction="none", ignore_index=-1
        )
        known = (labels >= 0).flatten(1)
        return each.flatten(1).sum(1) / known.sum(1).clamp(min=1)


def dice_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return one minus the mean soft Dice score of the classes, of each image `[B]`.

    Parameters
    ----------
    outputs : float tensor `[B, C, H, W]`
        Logits.
    labels : int64 tensor `[B, H, W]`
        -1 where a pixel is ignored.
    """
    known = (labels >= 0)[:, None]
    probabilities = outputs.float().softmax(1) * known
    truth = functional.one_hot(labels.clamp(min=0), outputs.shape[1]).movedim(-1, 1) * known
    shared = (probabilities * truth).sum((2, 3))
    total = probabilities.sum((2, 3)) + truth.sum((2, 3))
    return 1 - ((2 * shared + SMOOTH) / (total + SMOOTH)).mean(1)

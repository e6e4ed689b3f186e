"""Shared code of the losses of numbers: errors in units of the standard deviation of their target."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.recipe.training import Fit
from committee.training.losses.base import Loss


class OfErrors(Loss):
    """A function of errors, which are divided by the standard deviations of the targets."""

    serves = ("numbers",)
    score = "mae"
    without_effect = {  # noqa: RUF012
        "class_weights": "numbers have no classes",
        "label_smoothing": "numbers have no classes",
        "sampler": "numbers have no classes",
    }

    def prepare(
        self,
        labels: NDArray[Any] | Sequence[Any],
        names: Sequence[str],
        scale: Sequence[float] = (),
        settings: Fit | None = None,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Set the standard deviations; see the base class."""
        self.scale = torch.tensor(scale or [1.0] * len(names), dtype=torch.float32, device=device)
        return self

    @abstractmethod
    def of(self, errors: Tensor) -> Tensor:
        """Return the loss of each standardized error `[B, T]`."""

    def each(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over the targets of each row; see the base class."""
        return self.of(self._errors(outputs, labels)).mean(dim=1)

    def standardized(self, outputs: Tensor) -> Tensor:
        """Return outputs in units of the standard deviation of their target."""
        return outputs / self.scale

    def scored(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean absolute error in the units of the targets."""
        return (values_of(outputs.detach()).float() - labels).abs().mean()

    def _errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the standardized errors `[B, T]`."""
        return (values_of(outputs).float() - labels) / self.scale


def values_of(outputs: Tensor) -> Tensor:
    """Return the numbers `[B, T]` in outputs, which may have a variance, `[B, T, 2]`."""
    return outputs[..., 0] if outputs.ndim == 3 else outputs

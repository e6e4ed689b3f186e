"""Losses of experts and of their mixtures, from which a gate learns which expert to ask for a row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.predictions.spread import spread_of

LEAST = -20.0
"""Smallest log-probability of the true class in the loss, so that single confident errors do not dominate."""


class Experts(ABC):
    """What the outputs of E experts on N rows mean for the labels of these rows.

    Parameters
    ----------
    known : float32 tensor `[N, E, ...]`
        What the losses are computed from.

    Attributes
    ----------
    loss : str
        Name of the loss in notes.
    """

    loss: ClassVar[str]

    def __init__(self, known: Tensor) -> None:
        self.known = known

    def to(self, device: torch.device) -> Self:
        """Return the same on a device."""
        return type(self)(self.known.to(device))

    @abstractmethod
    def each(self, rows: Tensor | slice) -> Tensor:
        """Return the loss `[B, E]` of each expert for rows."""

    @abstractmethod
    def mixed(self, weights: Tensor, rows: Tensor | slice) -> Tensor:
        """Return the loss `[B]` of the mean of the experts by weights `[B, E]` that sum to 1, for rows."""


class ClassExperts(Experts):
    """Log-loss, from the log-probability `[N, E]` of the true class by each expert.

    Examples
    --------
    >>> import torch
    >>> from committee.solvers.experts import ClassExperts
    >>> experts = ClassExperts(torch.tensor([[0.5, 1.0]]).log())
    >>> experts.mixed(torch.tensor([[0.5, 0.5]]), slice(None)).exp().round(decimals=3)
    tensor([1.3330])
    """

    loss = "log_loss"

    @classmethod
    def read(cls, outputs: NDArray[np.float32], labels: NDArray[np.int64]) -> Self:
        """Return the losses of logits `[E, N, C]` for classes `[N]`."""
        index = torch.from_numpy(labels).reshape(1, -1, 1).expand(len(outputs), -1, 1)
        log_right = torch.from_numpy(outputs).log_softmax(2).gather(2, index)[:, :, 0]
        return cls(log_right.T.clamp(min=LEAST).contiguous())

    def each(self, rows: Tensor | slice) -> Tensor:
        """Return the log-loss of each expert."""
        return -self.known[rows]

    def mixed(self, weights: Tensor, rows: Tensor | slice) -> Tensor:
        """Return the log-loss of the mean probability."""
        return -(weights * self.known[rows].exp()).sum(1).log()


class NumberExperts(Experts):
    """Squared error in units of the variance of each target, from standardized errors `[N, E, T]`.

    Examples
    --------
    >>> import torch
    >>> from committee.solvers.experts import NumberExperts
    >>> experts = NumberExperts(torch.tensor([[[1.0], [-3.0]]]))
    >>> experts.each(slice(None)), experts.mixed(torch.tensor([[0.75, 0.25]]), slice(None))
    (tensor([[1., 9.]]), tensor([0.]))
    """

    loss = "mse"

    @classmethod
    def read(cls, outputs: NDArray[np.float32], labels: NDArray[np.float64]) -> Self:
        """Return the losses of values `[E, N, T]` for numbers `[N, T]`."""
        errors: NDArray[Any] = ((outputs - labels) / spread_of(labels)).astype(np.float32)
        return cls(torch.from_numpy(errors).transpose(0, 1).contiguous())

    def each(self, rows: Tensor | slice) -> Tensor:
        """Return the squared error of each expert."""
        return self.known[rows].square().mean(2)

    def mixed(self, weights: Tensor, rows: Tensor | slice) -> Tensor:
        """Return the squared error of the weighted mean."""
        return (weights.unsqueeze(2) * self.known[rows]).sum(1).square().mean(1)

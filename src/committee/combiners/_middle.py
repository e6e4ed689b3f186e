"""The base class of robust means: the mean of the values that remain when the extreme ones are left out."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from committee.combiners.base import Combiner


class MiddleMean(Combiner):
    """The mean of the members' values without the smallest and the largest ones of each row and target.

    A subclass says how many are left out. It serves numbers only: medians of the probabilities of several
    classes do not sum to 1, and a probability cannot move the mean by more than `1 / M`.
    """

    serves: ClassVar[tuple[str, ...]] = ("numbers",)
    learns = False

    @abstractmethod
    def cut(self, members: int) -> int:
        """Return how many values are left out at each end, less than half of the members."""

    def forward(self, logits: Tensor) -> Tensor:
        """Return numbers `[B, T, ...]` for numbers `[M, B, T, ...]`; NaN if one of the members is NaN."""
        cut = self.cut(len(logits))
        middle = logits.sort(dim=0).values[cut : len(logits) - cut].mean(dim=0)
        return torch.where(logits.isnan().any(dim=0), torch.nan, middle)

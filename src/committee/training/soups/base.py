"""What every soup does: say how much of each network goes in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from committee.base.registry import Family
from committee.training.fit.weight_averager import WeightAverager


class Soup(ABC):
    """A way to choose among networks that can be averaged.

    Attributes
    ----------
    needs_apart : bool
        Whether it chooses by scores, on rows that no network has seen.
    """

    needs_apart: ClassVar[bool] = False

    @abstractmethod
    def weights(self, averager: WeightAverager, losses: Mapping[str, float]) -> dict[str, float]:
        """Return the weight of each network that goes in; they sum to 1.

        Parameters
        ----------
        pot : WeightAverager
            Networks without a barrier between them.
        losses : mapping of str to float
            Of each, best first.
        """


SOUPS: Family[Soup] = Family("committee.training.soups", "soup")

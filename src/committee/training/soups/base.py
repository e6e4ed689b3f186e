"""Base class of soups, which choose the weights of averaged networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from committee.base.registry import Family
from committee.training.fit.weight_averager import WeightAverager


class Soup(ABC):
    """Chooses the weight of each network in an average of networks (Wortsman et al. 2022).

    Attributes
    ----------
    needs_validation : bool
        Whether the choice is made by losses, on rows that no network has seen.

    See Also
    --------
    committee.training.plans.soup.SoupPlan : The plan that makes soups.

    Examples
    --------
    >>> from committee.training.soups.base import SOUPS
    >>> {name: SOUPS.load(name).needs_validation for name in ("uniform", "greedy")}
    {'uniform': False, 'greedy': True}
    """

    needs_validation: ClassVar[bool] = False

    @abstractmethod
    def weights(self, averager: WeightAverager, losses: Mapping[str, float]) -> dict[str, float]:
        """Return the weight of each network in the average; they sum to 1.

        Parameters
        ----------
        averager : WeightAverager
            Networks without loss barriers to the best of them.
        losses : mapping of str to float
            Log-loss of each network, the best first.
        """


SOUPS: Family[Soup] = Family("committee.training.soups", "soup")

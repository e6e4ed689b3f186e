"""Base class of soups, which choose the weights of averaged networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from committee.base.registry import Family
from committee.training.fit.weight_averager import WeightAverager

Weights = dict[str, float]


class Choice:
    """The networks and rows by whose losses a soup is chosen.

    Either the networks of one fit are judged on a validation split, or the networks of several folds, each
    fold by the rows that its networks were not trained on.

    Parameters
    ----------
    parts : sequence of callables
        Each returns an averager of the same members: of one fit, or of one fold. It is called whenever the
        part is used, so that only one part is in memory.

    See Also
    --------
    Soup.weights : The choice.
    """

    def __init__(self, parts: Sequence[Callable[[], WeightAverager]]) -> None:
        self.parts = parts
        self._losses: dict[tuple[tuple[str, float], ...], float] = {}

    def loss(self, weights: Mapping[str, float]) -> float:
        """Return the log-loss of an average, over the rows of all parts."""
        key = tuple(sorted(weights.items()))
        if key not in self._losses:
            total, rows = 0.0, 0
            for part in self.parts:
                averager = part()
                count = len(averager.context.judged)
                total, rows = total + count * averager.loss(averager.blend(weights)), rows + count
            self._losses[key] = total / rows
        return self._losses[key]


class Soup(ABC):
    """Chooses the weight of each network in an average of networks (Wortsman et al. 2022).

    Attributes
    ----------
    needs_validation : bool
        Whether the choice is made by losses, on rows that the networks have not seen.

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
    def weights(self, choice: Choice, losses: Mapping[str, float]) -> Weights:
        """Return the weight of each network in the average; they sum to 1.

        Parameters
        ----------
        choice : Choice
            Networks without loss barriers to the best of them, and rows. A soup that does not need validation
            must not use it.
        losses : mapping of str to float
            Log-loss of each network, the best first.
        """


SOUPS: Family[Soup] = Family("committee.training.soups", "soup")

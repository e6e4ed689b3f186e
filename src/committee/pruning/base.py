"""What a pruning method is: a path of subsets of members, from few to many."""

from __future__ import annotations

from abc import ABC, abstractmethod

from committee.base.registry import Family
from committee.pruning._subsets import Subsets

Subset = tuple[int, ...]


class Pruner(ABC):
    """A way to choose members."""

    @abstractmethod
    def path(self, subsets: Subsets) -> list[Subset]:
        """Return subsets of `subsets.members`, one a size, from the smallest on; there is one at least.

        Parameters
        ----------
        subsets : Subsets
            The members by their places, the score of any of their subsets on some rows, and the budgets.
        """


PRUNERS: Family[Pruner] = Family("committee.pruning", "pruning method")

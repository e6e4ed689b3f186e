"""The base class of pruning methods."""

from __future__ import annotations

from abc import ABC, abstractmethod

from committee.base.registry import Family
from committee.pruning.shared.subsets import Subsets

Subset = tuple[int, ...]


class Pruner(ABC):
    """Base class of pruning methods, which select members of an ensemble.

    A pruning method returns a path: subsets of the members, one for each size. `Pruned` chooses a size by
    cross-validation, within budgets of latency and size.

    Attributes
    ----------
    needs_logits : bool
        Whether `path` reads `subsets.rows.logits`, and not only scores of subsets.

    See Also
    --------
    committee.combiners.Pruned : The combiner that uses a pruning method.

    Examples
    --------
    A method that adds members in the order of their own scores:

    >>> import numpy as np
    >>> from committee.pruning import Pruner
    >>> class BestFirst(Pruner):
    ...     def path(self, subsets):
    ...         order = np.argsort(-subsets.alone())
    ...         return [tuple(order[:size].tolist()) for size in range(1, len(order) + 1)]
    """

    needs_logits: bool = True

    @abstractmethod
    def path(self, subsets: Subsets) -> list[Subset]:
        """Return subsets of the members as tuples of positions, at most one for each size, smallest first.

        Parameters
        ----------
        subsets : Subsets
            The members on the rows of the fit: scores of their subsets, and the budgets.

        Returns
        -------
        list of tuple of int
            At least one subset.
        """

    @classmethod
    def evaluations(cls, members: int) -> int:
        """Return about how many subsets are evaluated; by default, those of a greedy selection."""
        return members * (members + 1) // 2


PRUNERS: Family[Pruner] = Family("committee.pruning", "pruning method")

"""A pruning method that keeps the last members."""

from __future__ import annotations

from committee.pruning._subsets import Subsets
from committee.pruning.base import Pruner, Subset


class LastFirst(Pruner):
    """The last K members, for each K."""

    def path(self, subsets: Subsets) -> list[Subset]:
        """Return nested subsets, one for each size."""
        count = len(subsets.members)
        return [tuple(range(count - size, count)) for size in range(1, count + 1)]

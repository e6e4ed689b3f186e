"""Greedy forward: from nobody, add the member that helps most, again and again."""

from __future__ import annotations

from committee.pruning._subsets import Subsets
from committee.pruning.base import Pruner, Subset


class GreedyForward(Pruner):
    """Each step adds the member with which the committee scores best (Caruana et al. 2004; each once).

    As long as some member can be added within the budgets, only such are.
    """

    def path(self, subsets: Subsets) -> list[Subset]:
        """Return one subset of each size, each within the next."""
        chosen: Subset = ()
        path = []
        left = list(range(len(subsets.members)))
        while left:
            within = [place for place in left if subsets.meets((*chosen, place))]
            candidates = within or left
            best = candidates[int(subsets.adding(chosen, candidates).argmax())]
            left.remove(best)
            chosen = (*chosen, best)
            path.append(chosen)
        return path

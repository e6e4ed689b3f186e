"""Greedy forward selection: repeatedly add the member that improves the ensemble most."""

from __future__ import annotations

from committee.pruning.base import Pruner, Subset
from committee.pruning.shared.subsets import Subsets


class GreedyForward(Pruner):
    """Each step adds the member with which the ensemble has the best metric (Caruana et al. 2004).

    Unlike in that paper, each member is added at most once. While a member can be added within the budgets,
    only such members are candidates.

    See Also
    --------
    GreedyBackward : Start with all members, and remove members.
    committee.combiners.GreedySelection : Selection with replacement.

    Examples
    --------
    >>> from committee.combiners import Pruned
    >>> from committee.predictions import simulate
    >>> rows = simulate({"good": 3.0, "fair": 2.5, "weak": 0.5})
    >>> fitted = Pruned("greedy_forward", target_size=2).fit(rows)
    >>> sorted(fitted.notes()["chosen"]["members"])
    ['fair', 'good']
    """

    needs_logits = False

    def path(self, subsets: Subsets) -> list[Subset]:
        """Return nested subsets, one for each size."""
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

"""Greedy backward selection: repeatedly remove the member whose removal costs least."""

from __future__ import annotations

from committee.pruning.base import Pruner, Subset
from committee.pruning.shared.subsets import Subsets


class GreedyBackward(Pruner):
    """Start with all members; each step removes the one without which the ensemble has the best metric.

    See Also
    --------
    GreedyForward : Start with no member, and add members.

    Examples
    --------
    >>> from committee.combiners import Pruned
    >>> from committee.predictions import simulate
    >>> rows = simulate({"good": 3.0, "fair": 2.5, "weak": 0.5})
    >>> fitted = Pruned("greedy_backward", target_size=2).fit(rows)
    >>> sorted(fitted.notes()["chosen"]["members"])
    ['fair', 'good']
    """

    needs_logits = False

    def path(self, subsets: Subsets) -> list[Subset]:
        """Return nested subsets, one for each size."""
        kept: Subset = tuple(range(len(subsets.members)))
        path = [kept]
        while len(kept) > 1:
            # Among equal scores, remove the member that comes last by name.
            scores = subsets.removing(kept)[::-1]
            dropped = kept[len(kept) - 1 - int(scores.argmax())]
            kept = tuple(place for place in kept if place != dropped)
            path.append(kept)
        return path[::-1]

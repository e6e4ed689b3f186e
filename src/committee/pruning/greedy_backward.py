"""Greedy backward: from all, drop the member that is missed least, again and again."""

from __future__ import annotations

from committee.pruning._subsets import Subsets
from committee.pruning.base import Pruner, Subset


class GreedyBackward(Pruner):
    """Each step drops the member without which the committee scores best."""

    def path(self, subsets: Subsets) -> list[Subset]:
        """Return one subset of each size, each within the next."""
        kept: Subset = tuple(range(len(subsets.members)))
        path = [kept]
        while len(kept) > 1:
            # Of two that are missed alike the last by name goes.
            scores = subsets.removing(kept)[::-1]
            dropped = kept[len(kept) - 1 - int(scores.argmax())]
            kept = tuple(place for place in kept if place != dropped)
            path.append(kept)
        return path[::-1]

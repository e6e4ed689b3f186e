"""Diversity, maximal: add the member that errs most unlike those chosen, above a floor of accuracy."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from committee.errors import UsageError
from committee.metrics.diversity import diversity
from committee.pruning._subsets import Subsets
from committee.pruning.base import Pruner, Subset


class DiversityMax(Pruner):
    """Start with the best member; each step adds the one most diverse, on average, from those chosen.

    Diversity alone prefers bad members, which err unlike all others. So no member takes part whose accuracy
    is below `floor` times that of the best one, and the path ends where the committee's would fall below
    that.

    Parameters
    ----------
    measure : str
        Of diversity: `disagreement`, `double_fault`, `q_statistic`, `correlation` or `kl`.
    floor : float
        0..1.

    Raises
    ------
    UsageError
        A floor that cannot be.
    """

    def __init__(self, measure: str = "disagreement", floor: float = 0.95) -> None:
        if not 0 <= floor <= 1:
            raise UsageError("diversity_max.floor", expected="a share between 0 and 1", got=str(floor))
        self.measure = measure
        self.floor = floor

    def path(self, subsets: Subsets) -> list[Subset]:
        """Return one subset of each size, each within the next, up to the floor."""
        apart = diversity(subsets.rows, self.measure)
        labels = subsets.rows.require_labels("diversity_max")
        alone = np.array([(each.argmax(axis=1) == labels).mean() for each in subsets.rows.logits])
        least = self.floor * alone.max()
        left = [place for place in range(len(alone)) if alone[place] >= least]
        scores = subsets.alone()
        place = max(left, key=lambda place: scores[place])
        total = np.zeros(subsets.rows.logits.shape[1:], np.float32)
        chosen: Subset = ()
        path = []
        while True:
            total += softmax(subsets.rows.logits[place], axis=1)
            if (total.argmax(axis=1) == labels).mean() < least:
                break
            chosen = (*chosen, place)
            subsets.score(chosen)
            path.append(chosen)
            left.remove(place)
            if not left:
                break
            place = left[int(apart[np.ix_(left, chosen)].mean(axis=1).argmax())]
        return path

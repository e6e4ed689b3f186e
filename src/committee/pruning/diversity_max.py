"""Pruning for diversity: add the member whose errors differ most from those of the chosen members."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from committee.errors import UsageError
from committee.metrics.diversity import pairwise_diversity
from committee.pruning.base import Pruner, Subset
from committee.pruning.shared.subsets import Subsets
from committee.tasks.base import task_of


class DiversityMax(Pruner):
    """Start with the best member; each step adds the one most diverse, on average, from those chosen.

    Diversity alone favors inaccurate members, whose errors differ from all others. Therefore members with an
    accuracy below `floor` times that of the best member are left out, and the path ends before the accuracy
    of the ensemble falls below this value. Of numbers, the accuracy is the inverse of the root mean squared
    error in units of the standard deviation of the targets.

    Parameters
    ----------
    measure : {"disagreement", "double_fault", "q_statistic", "correlation", "kl"}
        The measure of diversity; see `committee.metrics.pairwise_diversity`. Numbers have `disagreement` and
        `correlation`.
    floor : float
        Share of the best accuracy, from 0 to 1.

    Raises
    ------
    UsageError
        `floor` is out of range.

    See Also
    --------
    Clustering : Keep the best member of each cluster of similar members.
    GreedyForward : Add the member that improves the ensemble most.

    Examples
    --------
    >>> from committee.combiners import Pruned
    >>> from committee.predictions import simulate
    >>> rows = simulate({"good": 3.0, "fair": 2.5, "weak": 0.5})
    >>> fitted = Pruned("diversity_max", target_size=2, floor=0.8).fit(rows)
    >>> sorted(fitted.notes()["chosen"]["members"])
    ['fair', 'good']
    """

    def __init__(self, measure: str = "disagreement", floor: float = 0.95) -> None:
        if not 0 <= floor <= 1:
            raise UsageError("diversity_max.floor", expected="a number from 0 to 1", got=str(floor))
        self.measure = measure
        self.floor = floor

    def path(self, subsets: Subsets) -> list[Subset]:
        """Return nested subsets, one for each size, whose accuracy is at least that of the floor."""
        diversity = pairwise_diversity(subsets.rows, self.measure)
        labels, task = subsets.rows.require_labels("diversity_max"), task_of(subsets.rows)
        logits = subsets.rows.logits

        def outputs(place: int) -> NDArray[np.float32]:
            shown: NDArray[np.float32] = task.link(torch.from_numpy(np.array(logits[place]))).numpy()
            return shown

        alone = np.array([task.accuracy_of(outputs(place), labels) for place in range(len(logits))])
        least = self.floor * alone.max()
        left = [place for place in range(len(alone)) if alone[place] >= least]
        scores = subsets.alone()
        place = max(left, key=lambda place: scores[place])
        total = np.zeros(logits.shape[1:], np.float32)
        chosen: Subset = ()
        path = []
        while True:
            total += outputs(place)
            if task.accuracy_of(total / (len(chosen) + 1), labels) < least:
                break
            chosen = (*chosen, place)
            subsets.score(chosen)
            path.append(chosen)
            left.remove(place)
            if not left:
                break
            place = left[int(diversity[np.ix_(left, chosen)].mean(axis=1).argmax())]
        return path

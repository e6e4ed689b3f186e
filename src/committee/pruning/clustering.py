"""Clustering: members that err together are one cluster, and the best of each is kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from committee.metrics.diversity import error_correlation
from committee.pruning._subsets import Subsets
from committee.pruning.base import Pruner, Subset


class Clustering(Pruner):
    """Average linkage on one minus the correlation of errors, cut at each number of clusters."""

    def path(self, subsets: Subsets) -> list[Subset]:
        """Return one subset a number of clusters: the best member of each, best first."""
        alone = subsets.alone()
        count = len(alone)
        if count == 1:
            return [(0,)]
        distance = 1 - error_correlation(subsets.rows)
        np.fill_diagonal(distance, 0)
        tree = linkage(squareform(np.maximum(distance, 0), checks=False), "average")
        found: dict[int, Subset] = {}
        for wanted in range(1, count + 1):
            cluster = fcluster(tree, wanted, "maxclust")
            best = [_first_best(alone, np.flatnonzero(cluster == each)) for each in np.unique(cluster)]
            # Equal distances merge at once, and a number of clusters between is left out.
            found.setdefault(len(best), tuple(sorted(best, key=lambda place: (-alone[place], place))))
        for subset in found.values():
            subsets.score(subset)
        return [found[size] for size in sorted(found)]


def _first_best(scores: NDArray[np.float64], places: NDArray[np.int64]) -> int:
    return int(places[scores[places].argmax()])

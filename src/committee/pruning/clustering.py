"""Pruning by clustering: keep the best member of each cluster of members with correlated errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from committee.metrics.diversity import error_correlation
from committee.pruning.base import Pruner, Subset
from committee.pruning.shared.subsets import Subsets


class Clustering(Pruner):
    """Cluster members by the correlation of their errors, and keep the best member of each cluster.

    The clustering is hierarchical, with average linkage and the distance `1 - correlation`. The path has one
    subset for each number of clusters.

    See Also
    --------
    DiversityMax : Add the most diverse member at each step.
    committee.metrics.error_correlation : The correlation of errors.

    Examples
    --------
    >>> from committee.combiners import Pruned
    >>> from committee.predictions import simulate
    >>> rows = simulate({"good": 3.0, "fair": 2.5, "weak": 0.5})
    >>> fitted = Pruned("clustering", target_size=2).fit(rows)
    >>> sorted(fitted.notes()["chosen"]["members"])
    ['fair', 'good']
    """

    def path(self, subsets: Subsets) -> list[Subset]:
        """Return the best members of the clusters, for each number of clusters."""
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
            # Clusters at equal distances merge together, so that some numbers of clusters do not occur.
            found.setdefault(len(best), tuple(sorted(best, key=lambda place: (-alone[place], place))))
        for subset in found.values():
            subsets.score(subset)
        return [found[size] for size in sorted(found)]


def _first_best(scores: NDArray[np.float64], places: NDArray[np.int64]) -> int:
    return int(places[scores[places].argmax()])

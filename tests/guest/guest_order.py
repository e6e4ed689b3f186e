"""A pruning method: the members in the order of their own scores."""

from __future__ import annotations

import numpy as np

from committee.pruning import Pruner


class GuestOrder(Pruner):
    """Add members in the order of their own scores, the best first."""

    def path(self, subsets):
        """Return nested subsets, one for each size."""
        order = [int(place) for place in np.argsort(-subsets.alone(), kind="stable")]
        path = [tuple(order[:size]) for size in range(1, len(order) + 1)]
        for subset in path:
            subsets.score(subset)
        return path

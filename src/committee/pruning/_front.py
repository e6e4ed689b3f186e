"""The Pareto front: subsets than which no other is better in score, latency and size at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from committee.metrics.classification import metric as metric_of
from committee.pruning._subsets import TIE, UNITS, Subsets


def front(subsets: Subsets, metric: str) -> list[dict[str, Any]]:
    """Return the Pareto front of all subsets that were looked at, cheapest first.

    Returns
    -------
    list of dict
        `members`, `size`, `fit` (the metric on the rows that the subsets were chosen on, which flatters),
        `latency_ms` and `size_mb`. Where costs are not known, the number of members stands for them.
    """
    points = [
        {
            "members": list(subsets.names(subset)),
            "size": len(subset),
            "fit": value,
            **subsets.budgets.of(subsets.names(subset)),
        }
        for subset, value in subsets.looked_at.items()
    ]
    return not_dominated(points, metric)


def not_dominated(points: Iterable[Mapping[str, Any]], metric: str) -> list[dict[str, Any]]:
    """Return the points than which none is as good in all of score and costs, and better in one."""
    listed = sorted(map(dict, points), key=lambda point: (point["size"], point["members"]))
    if not listed:
        return []
    sign = -1 if metric_of(metric).higher_is_better else 1
    costs = [key for key in UNITS if key in listed[0]] or ["size"]
    # What differs by less than a tie counts as equal: then the cheaper one dominates.
    table = np.array([[round(sign * point["fit"] / TIE), *(point[key] for key in costs)] for point in listed])
    kept: list[int] = []
    # By score, then costs: whoever dominates a point stands before it, and who dominates is itself kept.
    for place in np.lexsort(table.T[::-1]):
        if not any((table[other] <= table[place]).all() for other in kept):
            kept.append(int(place))
    return [listed[place] for place in sorted(kept, key=lambda place: tuple(table[place, 1:]))]

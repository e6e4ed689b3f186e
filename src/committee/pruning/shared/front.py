"""The Pareto front of subsets by score, latency and size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from committee.pruning.shared.subsets import TIE, UNITS, Subsets

LISTED = 1000
"""Subsets whose scores and costs are stored, at most."""


def front(subsets: Subsets) -> list[dict[str, Any]]:
    """Return the Pareto front of all evaluated subsets, cheapest first.

    Returns
    -------
    list of dict
        `members`, `size`, `fit` (the metric on the rows on which the subsets were chosen, which is too good),
        `latency_ms` and `size_mb`. Without known costs, the number of members is used as the cost.
    """
    points = [
        {
            "members": list(subsets.names(subset)),
            "size": len(subset),
            "fit": value,
            **subsets.budgets.of(subsets.names(subset)),
        }
        for subset, value in subsets.evaluated.items()
    ]
    return not_dominated(points, subsets.sign, TIE * subsets.unit)


def looked_at(subsets: Subsets) -> dict[str, list[float]]:
    """Return the metric of the fit and the costs of evaluated subsets, as columns, for plots.

    Of more than `LISTED` subsets, some at equal distances in the order of their evaluation are returned.
    """
    evaluated = list(subsets.evaluated.items())
    kept = evaluated[:: max(1, -(-len(evaluated) // LISTED))]
    costs = [subsets.budgets.of(subsets.names(subset)) for subset, _ in kept]
    columns = {key: [float(each[key]) for each in costs] for key in UNITS if costs and key in costs[0]}
    return {"fit": [float(value) for _, value in kept], **columns}


def not_dominated(points: Iterable[Mapping[str, Any]], sign: int, tie: float = TIE) -> list[dict[str, Any]]:
    """Return the points that no other point dominates: is as good in score and costs, and better in one.

    `sign` is 1 if larger values of the metric are better, and -1 otherwise. Scores that differ by less than
    `tie` are equal.
    """
    listed = sorted(map(dict, points), key=lambda point: (point["size"], point["members"]))
    if not listed:
        return []
    costs = [key for key in UNITS if key in listed[0]] or ["size"]
    # Scores that differ by less than a tie are equal, so that the cheaper subset dominates.
    table = np.array(
        [[round(-sign * point["fit"] / tie), *(point[key] for key in costs)] for point in listed]
    )
    kept: list[int] = []
    # In the order of score, then costs, a point that dominates another comes before it. So it is enough to
    # compare with the points that are kept.
    for place in np.lexsort(table.T[::-1]):
        if not any((table[other] <= table[place]).all() for other in kept):
            kept.append(int(place))
    return [listed[place] for place in sorted(kept, key=lambda place: tuple(table[place, 1:]))]

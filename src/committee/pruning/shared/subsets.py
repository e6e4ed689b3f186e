"""Subsets of members on some rows: the score of their mean probability, and their costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.predictions.table import Predictions
from committee.tasks.base import task_of

Costs = Mapping[str, Mapping[str, Any]]
Places = NDArray[np.int64]
UNITS = {"latency_ms": "ms", "size_mb": "MB"}
TIE = 1e-6
"""Scores that differ by less are equal, because the order of a sum changes its last bits."""


def latency(costs: Costs, names: Sequence[str]) -> float:
    """Return the latency of members that run one after the other and share the resizing of images.

    Parameters
    ----------
    costs : mapping
        `{member: {"latency_ms": ..., "resizing_ms": {view: ...}}}`: the latency of a member alone, of which
        `resizing_ms`, if it is given, is needed once for all members with the same view.
    names : sequence of str
        The members.
    """
    views = [dict(costs[name].get("resizing_ms", {})) for name in names]
    once = {view: max(each.get(view, 0.0) for each in views) for view in set().union(*views)}
    networks = (costs[name]["latency_ms"] - sum(own.values()) for name, own in zip(names, views, strict=True))
    return float(sum(networks) + sum(once.values()))


@dataclass(frozen=True)
class Budgets:
    """The costs of members and their limits. Networks run one after the other, so costs add up.

    Attributes
    ----------
    costs : mapping
        `{member: {"latency_ms": ..., "size_mb": ...}}`; empty if the costs are not known. The part of
        `latency_ms` that members share is in `resizing_ms`, as for `latency`.
    limits : mapping of str to float
        Largest total cost by key; costs without a limit are left out.
    """

    costs: Costs
    limits: Mapping[str, float]

    def of(self, names: Sequence[str]) -> dict[str, float]:
        """Return the total costs of members; empty if the costs are not known."""
        if not self.costs:
            return {}
        size = float(sum(self.costs[name]["size_mb"] for name in names))
        return {"latency_ms": latency(self.costs, names), "size_mb": size}

    def meets(self, names: Sequence[str]) -> bool:
        """Return whether the total costs of members are within all limits."""
        total = self.of(names)
        return all(total[key] <= limit for key, limit in self.limits.items())

    def excess(self, names: Sequence[str]) -> float:
        """Return the largest ratio of a total cost to its limit; at most 1 if all limits are met."""
        total = self.of(names)
        return max((total[key] / limit for key, limit in self.limits.items()), default=0.0)


class Subsets:
    """Subsets of the members of some labeled rows, as sequences of positions in `members`.

    Parameters
    ----------
    rows : Predictions
        The rows. Methods break ties in favor of members that come first.
    metric : str
        The metric of the members' mean; one of the objectives of their task.
    budgets : Budgets
        The costs of the members and their limits.

    Attributes
    ----------
    evaluated : dict of tuple to float
        The metric on these rows of each subset that was evaluated.
    sign : int
        1 if larger values of the metric are better, and -1 otherwise.
    unit : float
        The unit of the metric: 1, or the standard deviation of the target.
    """

    def __init__(self, rows: Predictions, metric: str, budgets: Budgets) -> None:
        self.rows, self.members, self.budgets = rows, rows.members, budgets
        self._search = task_of(rows).search(rows, metric, "pruned.metric")
        self.sign, self.unit = self._search.sign, self._search.unit
        self.evaluated: dict[tuple[int, ...], float] = {}

    def names(self, subset: Sequence[int]) -> tuple[str, ...]:
        """Return the names of members."""
        return tuple(self.members[place] for place in subset)

    def meets(self, subset: Sequence[int]) -> bool:
        """Return whether a subset is within the budgets."""
        return self.budgets.meets(self.names(subset))

    def score(self, subset: Sequence[int]) -> float:
        """Return the score of a subset; larger is better."""
        self._gather(subset[:-1])
        return float(self._scores(subset[:-1], np.array(subset[-1:]), 1)[0])

    def value(self, subset: Sequence[int]) -> float:
        """Return the metric of a subset."""
        return self._search.value(self.score(subset))

    def adding(self, subset: Sequence[int], candidates: Sequence[int]) -> NDArray[np.float64]:
        """Return the scores of a subset with each of the candidates added."""
        self._gather(subset)
        return self._scores(subset, np.array(candidates), 1)

    def removing(self, subset: Sequence[int]) -> NDArray[np.float64]:
        """Return the scores of a subset with each of its members removed."""
        self._gather(subset)
        return self._scores(subset, np.array(subset), -1)

    def alone(self) -> NDArray[np.float64]:
        """Return the score of each member alone."""
        return self.adding((), range(len(self.members)))

    def _gather(self, subset: Sequence[int]) -> None:
        self._search.clear()
        for place in subset:
            self._search.move(place, 1)

    def _scores(self, subset: Sequence[int], members: Places, votes: int) -> NDArray[np.float64]:
        scores = self._search.scores(members, votes)
        for place, score in zip(members.tolist(), scores.tolist(), strict=True):
            changed = (*subset, place) if votes > 0 else (each for each in subset if each != place)
            self.evaluated[tuple(sorted(changed))] = self._search.value(score)
        return scores

"""Greedy ensemble selection: repeatedly add the member that helps most, with replacement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from committee.base.objectives import AUTO
from committee.base.randomness import derive
from committee.combiners._pools import WeightedPool
from committee.combiners.base import Combiner
from committee.errors import UsageError
from committee.solvers.columns import by_name
from committee.solvers.search import Search, evaluation_seconds

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class GreedySelection(WeightedPool):
    """Ensemble selection from libraries of models (Caruana et al. 2004), optionally bagged (2006).

    Each round adds the member, possibly once more, with which the mean probability (or number) of the
    selected members has the best metric. Weights are proportional to the number of times that a member was
    added up to the best round. Ties are broken by member name.

    Parameters
    ----------
    metric : str
        The metric that is optimized, as for `Weighted`.
    rounds : int
        Largest number of additions.
    patience : int
        Number of rounds without improvement after which the selection stops.
    bags : int
        Number of selections among random subsets of the members, whose weights are averaged; 1 selects once
        among all members.
    bag_fraction : float
        Share of the members in each subset, above 0 and at most 1.
    seed : int
        Seed of the subsets.

    Raises
    ------
    UsageError
        In `fit`: an option is out of range.

    See Also
    --------
    Weighted : Weights that minimize the log-loss exactly.
    Pruned : Selection without replacement, within budgets of size or latency.

    Examples
    --------
    >>> from committee.combiners import GreedySelection
    >>> from committee.predictions import simulate
    >>> rows = simulate({"a": 2.0, "b": 2.0, "random": 0.0})
    >>> weights = GreedySelection(rounds=20).fit(rows).member_weights()
    >>> weights["a"] > 0.3, weights["b"] > 0.3, weights["random"]
    (True, True, 0.0)
    """

    needs_logits = False

    def __init__(
        self,
        metric: str = AUTO,
        rounds: int = 100,
        patience: int = 20,
        bags: int = 1,
        bag_fraction: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.metric = metric
        self.rounds = rounds
        self.patience = patience
        self.bags = bags
        self.bag_fraction = bag_fraction
        self.seed = seed

    def seconds(self, members: int, rows: int, classes: int) -> float:
        """Return about how long a fit takes, if half of the rounds take place."""
        steps = self.bags * self.rounds * members / 2
        passes = super().seconds(members, rows, classes)
        return passes + steps * evaluation_seconds(self.metric, rows, classes, members)

    def _fit(self, predictions: Predictions) -> None:
        """Select among the members in the order of their names, so that their own order has no effect."""
        metric = self.task.objective(self.metric, "greedy_selection.metric")
        self._check_counts()
        order = by_name(predictions)
        weight = np.zeros(len(order))
        selections = []
        search = self.task.search(predictions, metric, "greedy_selection.metric")
        for pool in self._pools(len(order)):
            search.clear()
            picks, score = self._select(search, order[pool])
            weight += np.bincount(order[pool][picks], minlength=len(order)) / len(picks) / self.bags
            selections.append({"rounds": len(picks), metric: score})
        self.set_buffers(weight=weight.astype(np.float32))
        self._notes = {"selections": selections}

    def _check_counts(self) -> None:
        for name in ("rounds", "patience", "bags"):
            if getattr(self, name) < 1:
                raise UsageError(
                    f"greedy_selection.{name}", expected="at least 1", got=f"{getattr(self, name)}"
                )
        if not 0 < self.bag_fraction <= 1:
            raise UsageError(
                "greedy_selection.bag_fraction",
                expected="a number above 0 and at most 1",
                got=str(self.bag_fraction),
            )

    def _pools(self, members: int) -> list[NDArray[np.int64]]:
        if self.bags == 1:
            return [np.arange(members)]
        size = max(1, round(self.bag_fraction * members))
        draws = (np.random.default_rng(derive(self.seed, "bag", bag)) for bag in range(self.bags))
        return [np.sort(draw.choice(members, size, replace=False)) for draw in draws]

    def _select(self, search: Search, pool: NDArray[np.int64]) -> tuple[list[int], float]:
        picks: list[int] = []
        best, kept = -np.inf, 0
        while len(picks) < self.rounds and len(picks) - kept < self.patience:
            scores = search.scores(pool, 1)
            pick = int(scores.argmax())
            search.move(int(pool[pick]), 1)
            picks.append(pick)
            if scores[pick] > best:
                best, kept = float(scores[pick]), len(picks)
        return picks[:kept], search.value(best)

    def restrict_to_used(self) -> Combiner:
        """Return the rule for the selected members."""
        weight = self.learned("weight")
        chosen = weight.nonzero()[:, 0].tolist()
        if len(chosen) == len(weight):
            return self
        return self.rebind(
            [self.member_names[place] for place in chosen], self.clone(), weight=weight[chosen]
        )

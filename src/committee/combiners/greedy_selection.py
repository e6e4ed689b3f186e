"""Greedy selection: add the member that helps most, again and again (with replacement)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from committee.base.randomness import derive
from committee.combiners._pools import linear_pool, query_used, used
from committee.combiners.base import Combiner, Query, check_choice
from committee.errors import UsageError
from committee.solvers.columns import by_name
from committee.solvers.search import METRICS, Search, search_for

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class GreedySelection(Combiner):
    """Ensemble selection from libraries of models (Caruana et al. 2004), bagged on request (2006).

    Each round adds, with replacement, the member whose addition to the running mean probability gives the
    best metric; weights are the counts. The best round's committee is kept. Ties go by member name.

    Parameters
    ----------
    metric : str
        `log_loss`, `accuracy` or `f1_macro`.
    rounds : int
        Additions at most.
    patience : int
        Stop after so many rounds without a better value.
    bags : int
        Selections among random subsets of the members, averaged; 1 selects once among all.
    bag_fraction : float
        Part of the members in each bag.
    seed : int
        Draws the bags.
    """

    def __init__(
        self,
        metric: str = "log_loss",
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
        self.needs_logits = metric != "log_loss"

    def _fit(self, predictions: Predictions) -> None:
        """Select members by their names' order, so that the order they come in does not matter."""
        check_choice("greedy_selection.metric", self.metric, METRICS)
        self._check_counts()
        order = by_name(predictions)
        weight = np.zeros(len(order))
        chosen = []
        search = search_for(predictions, self.metric)
        for pool in self._pools(len(order)):
            search.clear()
            picks, score = self._select(search, order[pool])
            weight += np.bincount(order[pool][picks], minlength=len(order)) / len(picks) / self.bags
            chosen.append({"rounds": len(picks), self.metric: score})
        self.set_buffers(weight=weight.astype(np.float32))
        self._notes = {"selections": chosen}

    def _check_counts(self) -> None:
        for name in ("rounds", "patience", "bags"):
            if getattr(self, name) < 1:
                raise UsageError(
                    f"greedy_selection.{name}", expected="at least 1", got=f"{getattr(self, name)}"
                )
        if not 0 < self.bag_fraction <= 1:
            raise UsageError(
                "greedy_selection.bag_fraction", expected="above 0 and at most 1", got=str(self.bag_fraction)
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

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        return linear_pool(logits, self.learned("weight"))

    def infer(self, logits: Tensor) -> Tensor:
        """Return what `forward` returns, from the members that have weight."""
        return linear_pool(*used(logits, self.learned("weight")))

    def forward_lazy(self, query: Query) -> Tensor:
        """Return what `forward` returns, asking the members that have weight."""
        return linear_pool(*query_used(query, self.learned("weight")))

    def restrict_to_used(self) -> Combiner:
        """Return the rule for the members that were chosen."""
        weight = self.learned("weight")
        chosen = weight.nonzero()[:, 0].tolist()
        if len(chosen) == len(weight):
            return self
        return self.rebind(
            [self.member_names[place] for place in chosen], self.clone(), weight=weight[chosen]
        )

    def member_weights(self) -> dict[str, float]:
        """Return how often each member was chosen, as fractions."""
        return dict(zip(self.member_names, self.learned("weight").tolist(), strict=True))

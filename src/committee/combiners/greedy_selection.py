"""Greedy selection: add the member that helps most, again and again (with replacement)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from committee.combiners._base import Ask, Combiner, check_choice
from committee.combiners._columns import by_name, columns
from committee.combiners._mixture import COUNT_METRICS, Mixture
from committee.combiners._pools import ask_heard, heard, linear_pool
from committee.errors import UsageError
from committee.randomness import derive

if TYPE_CHECKING:
    from committee.predictions import Predictions

TILE = 2**12


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

    def learn(self, predictions: Predictions) -> None:
        """Select members by their names' order, so that the order they come in does not matter."""
        check_choice("greedy_selection.metric", self.metric, ("log_loss", *COUNT_METRICS))
        self._check_counts()
        order = by_name(predictions)
        weight = np.zeros(len(order))
        chosen = []
        search = _LogLoss(predictions) if self.metric == "log_loss" else _Counts(predictions, self.metric)
        for pool in self._pools(len(order)):
            search.start(order[pool])
            picks, score = self._select(search)
            weight += np.bincount(order[pool][picks], minlength=len(order)) / len(picks) / self.bags
            chosen.append({"rounds": len(picks), self.metric: score})
        self.keep(weight=weight.astype(np.float32))
        self._notes = {"selections": chosen}

    def _check_counts(self) -> None:
        for name in ("rounds", "patience", "bags"):
            if getattr(self, name) < 1:
                raise UsageError(
                    f"greedy_selection.{name}", expected="at least 1", got=f"{getattr(self, name)}"
                )
        if not 0 < self.bag_fraction <= 1:
            raise UsageError("greedy_selection.bag_fraction", expected="above 0 and at most 1",
                             got=str(self.bag_fraction))  # fmt: skip

    def _pools(self, members: int) -> list[NDArray[np.int64]]:
        if self.bags == 1:
            return [np.arange(members)]
        size = max(1, round(self.bag_fraction * members))
        draws = (np.random.default_rng(derive(self.seed, "bag", bag)) for bag in range(self.bags))
        return [np.sort(draw.choice(members, size, replace=False)) for draw in draws]

    def _select(self, search: _LogLoss | _Counts) -> tuple[list[int], float]:
        picks: list[int] = []
        best, kept = -np.inf, 0
        while len(picks) < self.rounds and len(picks) - kept < self.patience:
            scores = search.scores(len(picks) + 1)
            pick = int(scores.argmax())
            search.add(pick)
            picks.append(pick)
            if scores[pick] > best:
                best, kept = float(scores[pick]), len(picks)
        return picks[:kept], search.value(best)

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        return linear_pool(logits, self.learned("weight"))

    def infer(self, logits: Tensor) -> Tensor:
        """Return what `forward` returns, from the members that have weight."""
        return linear_pool(*heard(logits, self.learned("weight")))

    def consult(self, ask: Ask) -> Tensor:
        """Return what `forward` returns, asking the members that have weight."""
        return linear_pool(*ask_heard(ask, self.learned("weight")))

    def narrowed(self) -> Combiner:
        """Return the rule for the members that were chosen."""
        weight = self.learned("weight")
        chosen = weight.nonzero()[:, 0].tolist()
        if len(chosen) == len(weight):
            return self
        return self.for_members(
            [self.member_names[place] for place in chosen], self.clone(), weight=weight[chosen]
        )

    def member_weights(self) -> dict[str, float]:
        """Return how often each member was chosen, as fractions."""
        return dict(zip(self.member_names, self.learned("weight").tolist(), strict=True))


class _LogLoss:
    """All candidates of a round at once; only the label's probability `[M, N]` matters."""

    def __init__(self, predictions: Predictions) -> None:
        label = columns(predictions).label
        self._shift = label.max(axis=0)
        # A row's scale is free; with its best member at one, float32 is enough, and zero never occurs.
        self._probs = np.subtract(label, self._shift)
        np.exp(np.maximum(self._probs, np.float32(-69.0), out=self._probs), out=self._probs)

    def start(self, pool: NDArray[np.int64]) -> None:
        """Begin a selection among some members."""
        self._pool, self._sum = pool, np.zeros(len(self._shift), np.float32)

    def scores(self, size: int) -> NDArray[np.float64]:
        total = np.zeros(len(self._pool))
        for start in range(0, len(self._sum), TILE):
            span = slice(start, start + TILE)
            candidates = self._probs[self._pool, span] + self._sum[span]
            total += np.log(candidates, out=candidates).sum(axis=1)
        return total / len(self._sum) - np.log(size)

    def add(self, pick: int) -> None:
        self._sum += self._probs[self._pool[pick]]

    def value(self, score: float) -> float:
        return -score - float(self._shift.mean(dtype=np.float64))


class _Counts:
    """Candidates by a metric of counts."""

    def __init__(self, predictions: Predictions, metric: str) -> None:
        labels = predictions.require_labels("greedy_selection")
        self._mixture = Mixture(predictions.logits, columns(predictions), labels, metric)

    def start(self, pool: NDArray[np.int64]) -> None:
        """Begin a selection among some members."""
        self._steps = np.eye(len(self._mixture.weights), dtype=np.float32)[pool]
        self._mixture.move(np.zeros_like(self._mixture.weights))

    def scores(self, size: int) -> NDArray[np.float64]:
        return self._mixture.scores(self._mixture.weights + self._steps)

    def add(self, pick: int) -> None:
        self._mixture.move(self._mixture.weights + self._steps[pick])

    def value(self, score: float) -> float:
        return score

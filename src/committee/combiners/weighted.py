"""Weighted: one weight a member, given or learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.combiners._pools import linear_pool, log_pool, query_used, used
from committee.combiners.base import Combiner, Query, check_choice
from committee.errors import UsageError, nearest
from committee.solvers.columns import by_name, columns
from committee.solvers.mixture import COUNT_METRICS, Mixture
from committee.solvers.pool_losses import LinearPool, LogPool
from committee.solvers.simplex import minimize

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

STEPS = (1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64)


class Weighted(Combiner):
    """Weighted mean of the members' probabilities, or of their log-probabilities.

    Learned for `log_loss` the problem is convex; `notes()["certificate"]` bounds how far the weights are
    above the optimum. For `accuracy` and `f1_macro` it is a local search (coordinate steps), which says so
    in its notes, and is never below equal weights, the log-loss weights or the best single member on the
    rows of the fit. Ties go by member name.

    Parameters
    ----------
    weights : mapping of str to float, or sequence of float, optional
        Given weights, by member name or in the members' order; scaled to sum 1; a member
        that is not named weighs nothing. Left out, they are learned.
    metric : str
        What learned weights are best for: `log_loss`, `accuracy` or `f1_macro`.
    space : str
        `probability` (linear pool) or `logit` (logarithmic pool).

    Raises
    ------
    UsageError
        In `bind` and `fit`: weights that do not fit the members, or an unknown metric or space.
    """

    def __init__(
        self,
        weights: Mapping[str, float] | Sequence[float] | None = None,
        metric: str = "log_loss",
        space: str = "probability",
    ) -> None:
        super().__init__()
        self.weights = weights
        self.metric = metric
        self.space = space
        self.learns = weights is None
        self.needs_logits = (metric, space) != ("log_loss", "probability")

    def bind(self, members: Sequence[str]) -> Self:
        """Bind the members, and the given weights to them."""
        check_choice("weighted.space", self.space, ("probability", "logit"))
        if self.weights is not None:
            self.set_buffers(weight=torch.from_numpy(_given(self.weights, members)))
        return super().bind(members)

    def _fit(self, predictions: Predictions) -> None:
        """Find the best weights for the metric, unless they were given."""
        check_choice("weighted.metric", self.metric, ("log_loss", *COUNT_METRICS))
        if self.weights is not None:
            return
        order = by_name(predictions)
        weight = np.empty(len(order), np.float32)
        weight[order], certificate = self._convex(predictions, order)
        self._notes = {"search": "convex", "certificate": certificate}
        if self.metric != "log_loss":
            weight = self._local(predictions, order, weight)
            self._notes = {"search": "local", "log_loss_certificate": certificate}
        self.set_buffers(weight=torch.from_numpy(weight))

    def _convex(
        self, predictions: Predictions, order: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], float]:
        known = columns(predictions)
        return minimize(
            LinearPool(known.label[order]) if self.space == "probability" else LogPool(known, order)
        )

    def _local(
        self, predictions: Predictions, order: NDArray[np.int64], log_loss: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Search from the best start, by coordinate steps: the best one until none helps, then half of it."""
        labels = predictions.require_labels(self.key)
        mixture = Mixture(predictions.logits, columns(predictions), labels, self.metric, self.space)
        starts = np.stack([np.full(len(order), 1 / len(order)), log_loss, *np.eye(len(order))[order]])
        scores = mixture.scores(starts)
        mixture.move(starts[scores.argmax()])
        score = scores.max()
        for step in STEPS:
            while True:
                moves = _moves(mixture.weights, order, step)
                scores = mixture.scores(moves)
                if scores.max() <= score:
                    break
                score = scores.max()
                mixture.move(moves[scores.argmax()])
        return mixture.weights / mixture.weights.sum()

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        pool = linear_pool if self.space == "probability" else log_pool
        return pool(logits, self.learned("weight"))

    def infer(self, logits: Tensor) -> Tensor:
        """Return what `forward` returns, from the members that have weight."""
        pool = linear_pool if self.space == "probability" else log_pool
        return pool(*used(logits, self.learned("weight")))

    def forward_lazy(self, query: Query) -> Tensor:
        """Return what `forward` returns, asking the members that have weight."""
        pool = linear_pool if self.space == "probability" else log_pool
        return pool(*query_used(query, self.learned("weight")))

    def restrict_to_used(self) -> Combiner:
        """Return the rule for the members that have weight."""
        used = {name: weight for name, weight in self.member_weights().items() if weight}
        if len(used) == len(self.member_names):
            return self
        given = None if self.weights is None else used
        rule = Weighted(given, self.metric, self.space)
        return self.rebind(list(used), rule, weight=torch.tensor(list(used.values())))

    def member_weights(self) -> dict[str, float]:
        """Return the weights."""
        return dict(zip(self.member_names, self.learned("weight").tolist(), strict=True))


def _moves(weight: NDArray[np.float32], order: NDArray[np.int64], step: float) -> NDArray[np.float32]:
    """Return weights `[S, M]`: a step up for each member, and one down for each that has some, not all."""
    total = weight.sum()
    down = [member for member in order if 0 < weight[member] < total]
    steps = np.eye(len(weight), dtype=np.float32) * np.float32(step) * total
    return np.vstack([weight + steps[order], np.maximum(weight - steps[down], np.float32(0))])


def _given(weights: Mapping[str, float] | Sequence[float], members: Sequence[str]) -> NDArray[np.float32]:
    """Return given weights in the members' order, scaled to sum 1."""
    if isinstance(weights, Mapping):
        for name in weights:
            if name not in members:
                raise UsageError(
                    "weighted.weights",
                    expected=f"members among {', '.join(members)}",
                    got=f"'{name}'",
                    todo=nearest(name, members),
                )
        weights = [weights.get(name, 0.0) for name in members]
    values = np.array(weights, np.float64)
    if values.shape != (len(members),):
        raise UsageError(
            "weighted.weights", expected=f"{len(members)} weights, one a member", got=str(values.size)
        )
    if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
        raise UsageError(
            "weighted.weights",
            expected="finite weights, none negative, not all zero",
            got=str(values.tolist()),
        )
    return (values / values.sum()).astype(np.float32)

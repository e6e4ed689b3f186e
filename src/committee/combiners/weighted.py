"""Weighted pools: one weight for each member, given or learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from numpy.typing import NDArray

from committee.combiners._pools import WeightedPool, linear_pool, log_pool
from committee.combiners.base import Combiner, check_choice
from committee.errors import UsageError, nearest
from committee.solvers.columns import by_name, columns
from committee.solvers.mixture import COUNT_METRICS, Mixture
from committee.solvers.pool_losses import LinearPool, LogPool
from committee.solvers.simplex import minimize

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

STEPS = (1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64)


class Weighted(WeightedPool):
    """A weighted mean of the members' probabilities or log-probabilities.

    For `log_loss` the weights are the solution of a convex problem; `notes()["certificate"]` is an upper
    bound on the difference between their log-loss and the optimum. For `accuracy` and `f1_macro` they are
    found by a local search (coordinate steps), which starts at the best of equal weights, the log-loss
    weights and the single members on the rows of the fit. Ties are broken by member name.

    Parameters
    ----------
    weights : mapping of str to float, or sequence of float, optional
        Given weights, by member name or in the order of the members. They are scaled to sum 1; members that
        are not named have weight 0. By default the weights are learned.
    metric : {"log_loss", "accuracy", "f1_macro"}
        The metric that learned weights optimize.
    space : {"probability", "logit"}
        `probability` for the linear pool, `logit` for the logarithmic pool.

    Raises
    ------
    UsageError
        In `bind` and `fit`: the weights do not match the members, or the metric or space is unknown.

    See Also
    --------
    GreedySelection : Weights by greedy selection with replacement.
    SoftVoting : Equal weights.

    Examples
    --------
    >>> from committee.combiners import Weighted
    >>> from committee.predictions import simulate
    >>> rows = simulate({"a": 2.0, "b": 2.0, "random": 0.0})
    >>> fitted = Weighted().fit(rows)
    >>> weights = fitted.member_weights()
    >>> weights["a"] > 0.3, weights["b"] > 0.3, weights["random"]
    (True, True, 0.0)
    >>> fitted.notes()["certificate"] < 1e-6
    True
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
        self.pool = linear_pool if space == "probability" else log_pool
        self.learns = weights is None
        self.needs_logits = (metric, space) != ("log_loss", "probability")

    def bind(self, members: Sequence[str]) -> Self:
        """Bind the members, and assign the given weights to them."""
        check_choice("weighted.space", self.space, ("probability", "logit"))
        if self.weights is not None:
            self.set_buffers(weight=torch.from_numpy(_given(self.weights, members)))
        return super().bind(members)

    def _fit(self, predictions: Predictions) -> None:
        """Find the best weights for the metric, unless weights are given."""
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
        """Take the best coordinate step until none helps, then halve the step."""
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

    def restrict_to_used(self) -> Combiner:
        """Return the rule for the members with a positive weight."""
        used = {name: weight for name, weight in self.member_weights().items() if weight}
        if len(used) == len(self.member_names):
            return self
        given = None if self.weights is None else used
        rule = Weighted(given, self.metric, self.space)
        return self.rebind(list(used), rule, weight=torch.tensor(list(used.values())))


def _moves(weight: NDArray[np.float32], order: NDArray[np.int64], step: float) -> NDArray[np.float32]:
    """Return weights `[S, M]`: a step up for each member, and a step down where the weight allows one."""
    total = weight.sum()
    down = [member for member in order if 0 < weight[member] < total]
    steps = np.eye(len(weight), dtype=np.float32) * np.float32(step) * total
    return np.vstack([weight + steps[order], np.maximum(weight - steps[down], np.float32(0))])


def _given(weights: Mapping[str, float] | Sequence[float], members: Sequence[str]) -> NDArray[np.float32]:
    """Return given weights in the order of the members, scaled to sum 1."""
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
            "weighted.weights",
            expected=f"{len(members)} weights, one for each member",
            got=str(values.size),
        )
    if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
        raise UsageError(
            "weighted.weights",
            expected="finite, non-negative weights that are not all zero",
            got=str(values.tolist()),
        )
    return (values / values.sum()).astype(np.float32)

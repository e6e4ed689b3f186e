"""Weighted: one weight a member, given or learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.combiners._base import Combiner, check_choice
from committee.combiners._columns import by_name, columns
from committee.combiners._mixture import COUNT_METRICS, Mixture, count_score
from committee.combiners._pools import linear_pool, log_pool
from committee.combiners._simplex import linear_loss, log_pool_loss, minimise
from committee.errors import UsageError, nearest

if TYPE_CHECKING:
    from committee.predictions import Predictions

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

    def bind(self, members: Sequence[str]) -> Self:
        """Bind the members, and the given weights to them."""
        check_choice("weighted.space", self.space, ("probability", "logit"))
        if self.weights is not None:
            self.keep(weight=torch.from_numpy(_given(self.weights, members)))
        return super().bind(members)

    def learn(self, predictions: Predictions) -> None:
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
        self.keep(weight=torch.from_numpy(weight))

    def _convex(
        self, predictions: Predictions, order: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], float]:
        label = columns(predictions).label
        if self.space == "probability":
            return minimise(linear_loss(label[order]), len(order))
        return minimise(log_pool_loss(predictions.logits, label, order), len(order))

    def _local(
        self, predictions: Predictions, order: NDArray[np.int64], log_loss: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Search from the best start, and return the best of the starts and what was found."""
        members = len(order)
        starts = [
            np.full(members, 1 / members, np.float32),
            log_loss,
            *np.eye(members, dtype=np.float32)[order],
        ]
        scores = [self._score(predictions, start) for start in starts]
        best = int(np.argmax(scores))
        found = self._climb(predictions, order, starts[best], scores[best])
        return found if self._score(predictions, found) > scores[best] else starts[best]

    def _score(self, predictions: Predictions, weight: NDArray[np.float32]) -> float:
        pool = type(self)(weights=weight.tolist(), space=self.space).bind(predictions.members)
        guess = pool.combine(predictions.logits).argmax(axis=1)
        return count_score(
            self.metric, guess, predictions.require_labels(self.key), predictions.logits.shape[2]
        )

    def _climb(
        self, predictions: Predictions, order: NDArray[np.int64], start: NDArray[np.float32], score: float
    ) -> NDArray[np.float32]:
        """Take the best coordinate step until none helps, then halve the step."""
        labels = predictions.require_labels(self.key)
        mixture = Mixture(predictions.logits, columns(predictions), labels, self.metric, self.space)
        weight = start.astype(np.float64)
        for member in np.flatnonzero(weight):
            mixture.add(int(member), float(weight[member]))
        for step in STEPS:
            while True:
                total = weight.sum()
                up = [(int(member), step * total) for member in order]
                down = [(int(m), -min(step * total, weight[m])) for m in order if 0 < weight[m] < total]
                moves = up + down
                scores = mixture.scores(moves)
                best = int(scores.argmax())
                if scores[best] <= score:
                    break
                score = float(scores[best])
                mixture.add(*moves[best])
                weight[moves[best][0]] += moves[best][1]
        return (weight / weight.sum()).astype(np.float32)

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        pool = linear_pool if self.space == "probability" else log_pool
        return pool(logits, self.learned("weight"))

    def member_weights(self) -> dict[str, float]:
        """Return the weights."""
        return dict(zip(self.member_names, self.learned("weight").tolist(), strict=True))


def _given(weights: Mapping[str, float] | Sequence[float], members: Sequence[str]) -> NDArray[np.float32]:
    """Return given weights in the members' order, scaled to sum 1."""
    if isinstance(weights, Mapping):
        for name in weights:
            if name not in members:
                raise UsageError("weighted.weights", expected=f"members among {', '.join(members)}",
                                 got=f"'{name}'", todo=nearest(name, members))  # fmt: skip
        weights = [weights.get(name, 0.0) for name in members]
    values = np.array(weights, np.float64)
    if values.shape != (len(members),):
        raise UsageError("weighted.weights", expected=f"{len(members)} weights, one a member",
                         got=str(values.size))  # fmt: skip
    if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
        raise UsageError("weighted.weights", expected="finite weights, none negative, not all zero",
                         got=str(values.tolist()))  # fmt: skip
    return (values / values.sum()).astype(np.float32)

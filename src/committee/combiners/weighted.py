"""Weighted pools: one weight for each member, given or learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.base.objectives import AUTO
from committee.combiners._pools import WeightedPool
from committee.combiners.base import Combiner, check_choice
from committee.errors import UsageError, nearest
from committee.solvers.columns import by_name
from committee.solvers.search import evaluation_seconds
from committee.solvers.simplex import Loss, minimize

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

SMALLEST = 1e-12
STEPS = (1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64)


class Weighted(WeightedPool):
    """A weighted mean of the members' probabilities, log-probabilities or numbers.

    For `log_loss`, for `brier` in the space of probabilities, and for `rmse` and `r2` of numbers, the weights
    are the solution of a convex problem; `notes()["certificate"]` is an upper bound on the difference between
    their metric and the optimum (of numbers: between mean squared errors in units of the variance of the
    target). For other metrics they are found by a local search (coordinate steps), which starts at the best
    of equal weights, the weights of the convex problem and the single members on the rows of the fit. Ties
    are broken by member name.

    Parameters
    ----------
    weights : mapping of str to float, or sequence of float, optional
        Given weights, by member name or in the order of the members. They are scaled to sum 1; members that
        are not named have weight 0. By default the weights are learned.
    metric : str
        The metric that learned weights optimize: `log_loss`, `brier`, `accuracy`, `balanced_accuracy`,
        `f1_macro` or `auroc` of classes, `rmse`, `mae` or `r2` of numbers, or a function
        `python:module.function` (see `committee.metrics.custom.CustomMetric`), which is imported by `fit`
        only. `auto` is the first of them.
    space : {"probability", "logit"}
        `probability` for the linear pool and for numbers, `logit` for the logarithmic pool.

    Raises
    ------
    UsageError
        In `bind` and `fit`: the weights do not match the members, or the metric or space is unknown.

    See Also
    --------
    GreedySelection : Weights by greedy selection with replacement.
    SoftVoting : Equal weights.

    Notes
    -----
    `trainable` replaces fitted or given weights by the softmax of a parameter, which an optimizer can train
    together with the members: the `WeightedEnsemble` of training scripts.

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

    It is stored without pickle, and loaded again:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from committee.combiners import load, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(fitted, Path(folder))
    ...     load(Path(folder)).member_weights() == weights
    True
    """

    needs_logits = False
    score: Tensor

    def __init__(
        self,
        weights: Mapping[str, float] | Sequence[float] | None = None,
        metric: str = AUTO,
        space: str = "probability",
    ) -> None:
        super().__init__()
        self.weights = weights
        self.metric = metric
        self.space = space
        self.learns = weights is None

    def bind(self, members: Sequence[str]) -> Self:
        """Bind the members, and assign the given weights to them."""
        check_choice("weighted.space", self.space, self.task.spaces)
        if self.weights is not None:
            self.set_buffers(weight=torch.from_numpy(_given(self.weights, members)))
        return super().bind(members)

    def trainable(self) -> nn.Parameter:
        """Make the weights the softmax of a parameter `score`, float32 `[M]`, and return this parameter.

        The weights stay as they are; a weight of zero becomes very small. Members of an unfitted combiner get
        equal weights. `fit` and `bind` with given weights end the training.

        Returns
        -------
        torch.nn.Parameter

        Raises
        ------
        UsageError
            The combiner is not bound to members.

        Examples
        --------
        >>> import torch
        >>> from committee.combiners import Weighted
        >>> rule = Weighted(space="logit").bind(["a", "b"])
        >>> optimizer = torch.optim.SGD([rule.trainable()], lr=1.0)
        >>> logits = torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]]])
        >>> torch.nn.functional.cross_entropy(rule(logits), torch.tensor([0])).backward()
        >>> optimizer.step()
        >>> rule.member_weights()["a"] > 0.5
        True
        """
        if not self.member_names:
            raise UsageError(
                self.key,
                expected="a combiner of members",
                got="an unbound one",
                todo="Call bind(names) first.",
            )
        if "weight" not in self._buffers:
            self.set_buffers(weight=torch.full((len(self.member_names),), 1 / len(self.member_names)))
        score = nn.Parameter(self.learned("weight").detach().clamp_min(SMALLEST).log())
        self._buffers.pop("score", None)
        self.register_parameter("score", score)
        return score

    def learned(self, name: str) -> Tensor:
        """Return a fitted buffer; the weights are those of `score` if they were made trainable."""
        return self.score.softmax(0) if name == "weight" and hasattr(self, "score") else super().learned(name)

    def set_buffers(self, **tensors: Tensor | NDArray[Any]) -> None:
        """Store fitted tensors; weights replace those that were made trainable."""
        if "weight" in tensors:
            for kept in (self._parameters, self._buffers):
                kept.pop("score", None)
        super().set_buffers(**tensors)

    def member_weights(self) -> dict[str, float]:
        """Return the weights; those that are trained are the present ones."""
        if not hasattr(self, "score"):
            return super().member_weights()
        return dict(zip(self.member_names, self.learned("weight").tolist(), strict=True))

    def seconds(self, members: int, rows: int, classes: int) -> float:
        """Return about how long a fit takes: a convex problem, and a local search for most metrics."""
        if self.weights is not None:
            return 0.0
        passes = super().seconds(members, rows, classes) * (1 if self.space == "probability" else 8)
        steps = 0 if self.metric in (AUTO, "log_loss", "brier", "rmse", "r2") else 20 * members
        return (
            passes + 1e-7 * rows * members + steps * evaluation_seconds(self.metric, rows, classes, members)
        )

    def _fit(self, predictions: Predictions) -> None:
        """Find the best weights for the metric, unless weights are given."""
        metric = self.task.objective(self.metric, "weighted.metric")
        if self.weights is not None:
            return
        order = by_name(predictions)
        convex = self._loss(predictions, order, metric)
        default = self.task.objectives[0]
        loss = convex or self._loss(predictions, order, default)
        assert loss is not None  # the default objective of each task is convex
        weight = np.empty(len(order), np.float32)
        weight[order], certificate = minimize(loss)
        self._notes = {"search": "convex", "certificate": certificate}
        if convex is None:
            weight, found = self._local(predictions, metric, order, weight)
            self._notes = {"search": "local", f"{default}_certificate": certificate, metric: found}
        self.set_buffers(weight=torch.from_numpy(weight))

    def _loss(self, predictions: Predictions, order: NDArray[np.int64], metric: str) -> Loss | None:
        return self.task.pool_loss(predictions, order, metric, self.space)

    def _local(
        self,
        predictions: Predictions,
        metric: str,
        order: NDArray[np.int64],
        convex: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], float]:
        """Take the best coordinate step until none helps, then halve the step; return weights and metric."""
        mixture = self.task.mixtures(predictions, metric, "weighted.metric", self.space)
        starts = np.stack([np.full(len(order), 1 / len(order)), convex, *np.eye(len(order))[order]])
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
        return mixture.weights / mixture.weights.sum(), float(mixture.sign * score)

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

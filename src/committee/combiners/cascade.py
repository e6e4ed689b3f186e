"""Cascades: members are evaluated one by one, until the prediction of a sample is confident enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.base.limits import above_zero
from committee.base.tracing import has_branches, when
from committee.combiners._thresholds import GRID, NEVER, Stages, search
from committee.combiners.base import Combiner, Query
from committee.errors import UnknownNameError, UsageError, nearest
from committee.pruning.shared.subsets import Costs, latency
from committee.solvers.columns import columns, spans
from committee.solvers.newton import best_temperature
from committee.solvers.sums import add

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class Cascade(Combiner):
    """Evaluate members one by one until the prediction is confident (Viola and Jones 2001; Wang et al. 2018).

    The output of a stage is the mean probability of the members so far, calibrated by a temperature of the
    stage. A sample exits at the first stage whose highest probability reaches the threshold of the stage. The
    thresholds are tuned on the rows of the fit: either for the smallest mean cost that keeps a share of the
    accuracy of all members, or for the best accuracy at a given mean cost.

    Parameters
    ----------
    members : sequence of str, optional
        The members in the order of the stages. By default all members, the cheapest first or, without costs,
        the one with the smallest log-loss first. Ties are broken by name.
    costs : mapping of str to mapping, optional
        `{"latency_ms": ...}` for each member; 1 for each by default. The part of it that is needed once for
        several members is in `"resizing_ms": {view: ...}`.
    keep : float
        Share of the accuracy of all members that the cascade keeps on the rows of the fit, above 0 and at
        most 1.
    mean_cost : float, optional
        Largest mean cost of a sample, in the unit of `costs`. It replaces `keep`.

    Raises
    ------
    UsageError
        In `fit`: `keep` or `mean_cost` is out of range, or a member has no costs.
    UnknownNameError
        In `bind` and `fit`: there is no member with one of the names.

    See Also
    --------
    SoftVoting : The mean of all members.
    Pruned : Fewer members for all samples.

    Notes
    -----
    `forward` evaluates all members and selects the stage of each sample. `forward_lazy`, which
    `Ensemble.infer` calls, evaluates each member only on the samples that have not exited. In an ONNX file, a
    member runs on all images of a batch, unless all of them have exited.

    Examples
    --------
    >>> from committee.combiners import Cascade
    >>> from committee.predictions import simulate
    >>> rows = simulate({"small": 4.0, "large": 6.0})
    >>> costs = {"small": {"latency_ms": 1.0}, "large": {"latency_ms": 10.0}}
    >>> found = Cascade(costs=costs).fit(rows).notes()
    >>> found["order"], found["fit"]["mean_cost"] < 5.5
    (['small', 'large'], True)
    """

    calibrates = True
    is_conditional = True
    needs_logits = False

    def __init__(
        self,
        members: Sequence[str] | None = None,
        costs: Costs | None = None,
        keep: float = 0.99,
        mean_cost: float | None = None,
    ) -> None:
        super().__init__()
        self.members = members
        self.costs = costs
        self.keep = keep
        self.mean_cost = mean_cost

    def bind(self, members: Sequence[str]) -> Self:
        """Bind the members, and check that they include those given to the constructor."""
        for name in self.members or ():
            if name not in members:
                raise UnknownNameError(
                    "cascade.members",
                    expected=f"members among {', '.join(members)}",
                    got=f"'{name}'",
                    todo=nearest(name, members),
                )
        return super().bind(members)

    def seconds(self, members: int, rows: int, classes: int) -> float:
        """Return about how long a fit takes: each stage fits a temperature."""
        return members * rows * (3e-6 + 2e-8 * classes)

    def _fit(self, predictions: Predictions) -> None:
        """Order the members, calibrate each stage, and tune the thresholds."""
        self._check()
        labels = predictions.require_labels(self.key)
        order = self._order(predictions)
        costs = self._stage_costs([predictions.members[member] for member in order])
        stages, temperatures = _stages(predictions, order, labels, costs)
        target = None if self.mean_cost is not None else self.keep * float(stages.correct[-1].mean())
        level = search(stages, target, self.mean_cost)
        threshold = GRID[level]
        threshold[-1] = 0.0
        self.set_buffers(
            order=np.array(order),
            inverse_temperature=np.array(1 / temperatures, np.float32),
            threshold=threshold.astype(np.float32),
        )
        self._notes = self._details(predictions, order, stages, level, temperatures)

    def _check(self) -> None:
        if not 0 < self.keep <= 1:
            raise UsageError(
                "cascade.keep",
                expected="a number above 0 and at most 1",
                got=str(self.keep),
                todo="It is a share of the accuracy of all members together.",
            )
        if self.mean_cost is not None:
            above_zero("cascade.mean_cost", self.mean_cost)
        if self.members is not None and (not self.members or len(set(self.members)) < len(self.members)):
            raise UsageError(
                "cascade.members",
                expected="at least one member, each name once",
                got=", ".join(self.members) or "none",
                todo="Leave it out to use all members, the cheapest first.",
            )

    def _order(self, predictions: Predictions) -> list[int]:
        names = predictions.members
        if self.members is not None:
            return [names.index(name) for name in self.members]
        label = columns(predictions).label
        losses = [-float(each.mean(dtype=np.float64)) for each in label]
        places = range(len(names))
        return sorted(places, key=lambda place: (self._cost(names[place]), losses[place], names[place]))

    def _cost(self, name: str) -> float:
        if self.costs is None:
            return 1.0
        if name not in self.costs or "latency_ms" not in self.costs[name]:
            raise UsageError(
                "cascade.costs",
                expected="latency_ms for each member",
                got=f"none for '{name}'",
                todo="Add it, or leave out costs.",
            )
        return float(self.costs[name]["latency_ms"])

    def _stage_costs(self, names: Sequence[str]) -> list[float]:
        """Return what each stage adds to the cost of those before it."""
        if self.costs is None:
            return [1.0] * len(names)
        totals = [latency(self.costs, names[:count]) for count in range(1, len(names) + 1)]
        return np.diff([0.0, *totals]).tolist()

    def _details(
        self,
        predictions: Predictions,
        order: Sequence[int],
        stages: Stages,
        level: NDArray[np.int64],
        temperatures: NDArray[np.float64],
    ) -> dict[str, Any]:
        exits = stages.exits(level)
        kept = float(stages.accuracy(exits) / max(stages.correct[-1].mean(), 1e-12))
        return {
            "order": [predictions.members[member] for member in order],
            "thresholds": [None if each == NEVER else round(float(each), 6) for each in GRID[level[:-1]]],
            "temperatures": temperatures.tolist(),
            "fit": {
                "exit_rates": (np.bincount(exits, minlength=len(order)) / len(exits)).tolist(),
                "mean_cost": float(stages.mean_cost(exits)),
                "full_cost": float(stages.cost[-1]),
                "accuracy_kept": kept,
            },
        }

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C]` for logits `[M, B, C]`: the outputs of the exit stages."""
        outputs = self._outputs(logits)
        result = outputs[-1]
        for stage in reversed(range(len(outputs) - 1)):
            result = torch.where(self._confident(outputs[stage], stage)[:, None], outputs[stage], result)
        return result

    def exits(self, logits: Tensor) -> Tensor:
        """Return the exit stage of each sample, int64 `[B]` starting at 0, for logits `[M, B, C]`."""
        outputs = self._outputs(logits)
        confident = [self._confident(output, stage) for stage, output in enumerate(outputs)]
        return torch.stack(confident).to(torch.int64).argmax(dim=0)

    def forward_lazy(self, query: Query) -> Tensor:
        """Return the same as `forward`, requesting each member for the samples that have not exited.

        A graph with branches requests a member for all samples, if one of them has not exited.
        """
        order = self.numbers("order")
        if has_branches():
            return self._in_graph(query, order)
        total = query(order[0], None).log_softmax(dim=1)
        result = self._output(total, 0)
        rows = (~self._confident(result, 0)).nonzero()[:, 0]
        total = total[rows]
        for stage, member in enumerate(order[1:], start=1):
            if not len(rows):
                break
            total = torch.logaddexp(total, query(member, rows).log_softmax(dim=1))
            output = self._output(total, stage)
            result[rows] = output
            stay = ~self._confident(output, stage)
            rows, total = rows[stay], total[stay]
        return result

    def _in_graph(self, query: Query, order: Sequence[int]) -> Tensor:
        """Return the same as `forward`; a stage is needed if a sample has not exited before it."""

        def after(stage: int, total: Tensor, result: Tensor, left: Tensor) -> Tensor:
            if stage == len(order):
                return result
            total = torch.logaddexp(total, query(order[stage], None).log_softmax(dim=1))
            output = self._output(total, stage)
            so_far = torch.where(left[:, None], output, result)
            return when(left, after(stage + 1, total, so_far, left & ~self._confident(output, stage)), result)

        total = query(order[0], None).log_softmax(dim=1)
        first = self._output(total, 0)
        return after(1, total, first, ~self._confident(first, 0))

    def restrict_to_used(self) -> Combiner:
        """Return the cascade of the members that a sample can reach."""
        never = (self.learned("threshold") <= 0).nonzero()[:, 0]
        stages = int(never[0]) + 1
        used = [self.member_names[place] for place in self.learned("order")[:stages].tolist()]
        if len(used) == len(self.member_names):
            return self
        rule = Cascade(used, self.costs, self.keep, self.mean_cost)
        parts = {name: self.learned(name)[:stages] for name in ("inverse_temperature", "threshold")}
        return self.rebind(used, rule, order=torch.arange(stages), **parts)

    def _outputs(self, logits: Tensor) -> list[Tensor]:
        """Return the output of each stage for all samples, log-probabilities `[B, C]`."""
        log_probs = logits.log_softmax(dim=2).index_select(0, self.learned("order"))
        total, outputs = log_probs[0], []
        for stage in range(len(log_probs)):
            total = total if stage == 0 else torch.logaddexp(total, log_probs[stage])
            outputs.append(self._output(total, stage))
        return outputs

    def _output(self, total: Tensor, stage: int) -> Tensor:
        """Return the calibrated log of the mean of `stage + 1` members, given the log of their sum."""
        scale = self.learned("inverse_temperature")[stage].to(total.dtype)
        return ((total - math.log(stage + 1)) * scale).log_softmax(dim=1)

    def _confident(self, output: Tensor, stage: int) -> Tensor:
        return output.amax(dim=1).exp() >= self.learned("threshold")[stage]


def _stages(
    predictions: Predictions, order: Sequence[int], labels: NDArray[np.int64], costs: Sequence[float]
) -> tuple[Stages, NDArray[np.float64]]:
    """Return the stages of a cascade on the given rows, and their temperatures.

    Of each stage, only what the thresholds depend on is kept.
    """
    known, shape = columns(predictions), (len(order), len(labels))
    confidence, correct = np.empty(shape, np.float32), np.empty(shape, np.bool_)
    temperatures, total = np.empty(shape[0]), np.full(known.shape[1:], -np.inf, np.float32)
    blocks = spans(*known.shape[1:])
    for stage, member in enumerate(order):
        for span in blocks:
            add(total[span], known.part(member, span) - known.normalizer[member, span, None])
        temperatures[stage] = best_temperature(total, labels)
        for span in blocks:
            guess, confidence[stage, span] = _guesses(total[span], 1 / temperatures[stage])
            correct[stage, span] = guess == labels[span]
    return Stages.of(confidence, correct, costs), temperatures


def _guesses(total: NDArray[np.float32], inverse: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the most probable class of unnormalized log-probabilities `[B, C]`, and its probability."""
    guess = total.argmax(axis=1)
    below = total - np.take_along_axis(total, guess[:, None], axis=1)
    np.multiply(below, np.float32(inverse), out=below)
    return guess, 1 / (np.exp(below, out=below) @ np.ones(below.shape[1], np.float32))

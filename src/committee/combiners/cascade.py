"""Cascade: cheap members first; a sample leaves as soon as the members so far are sure enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.base.limits import above_zero
from committee.combiners._thresholds import GRID, NEVER, Stages, search
from committee.combiners.base import Combiner, Query
from committee.errors import UnknownNameError, UsageError, nearest
from committee.solvers.columns import columns
from committee.solvers.newton import best_temperature

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class Cascade(Combiner):
    """Query members one by one, and stop when they are sure enough (Viola and Jones 2001; Wang et al. 2018).

    After each member the mean probability of those asked so far is calibrated by a temperature of that stage;
    a sample leaves where its highest probability reaches the stage's threshold. Thresholds are tuned on the
    given rows, to keep a share of the accuracy that all members together have at the least mean cost, or for
    the best accuracy at a mean cost.

    Parameters
    ----------
    members : sequence of str, optional
        Which members, in the order in which they are asked. Left out: all, cheapest first; without costs, the
        one with the best log-loss first. Ties go by name.
    costs : mapping of str to mapping, optional
        `{"latency_ms": ...}` of each member. Left out: 1 each.
    keep : float
        Share of the accuracy of all members together that is kept, 0..1, on the rows of the fit.
    mean_cost : float, optional
        Instead of `keep`: the mean cost of a sample, in the unit of `costs`, that is not exceeded.

    Raises
    ------
    UsageError
        In `fit`: `keep` or `mean_cost` that cannot be, or a member without costs.
    UnknownNameError
        In `bind` and `fit`: a member that is not there.

    Notes
    -----
    `forward` computes all members and picks each sample's stage: it exports, and saves no work.
    `forward_lazy`, which `Ensemble.infer` calls, runs each network only on the samples that are still there.
    """

    calibrates = True
    is_conditional = True

    def __init__(
        self,
        members: Sequence[str] | None = None,
        costs: Mapping[str, Mapping[str, float]] | None = None,
        keep: float = 0.99,
        mean_cost: float | None = None,
    ) -> None:
        super().__init__()
        self.members = members
        self.costs = costs
        self.keep_share = keep
        self.mean_cost = mean_cost

    def options(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain JSON values."""
        return {
            "members": None if self.members is None else list(self.members),
            "costs": None if self.costs is None else {name: dict(cost) for name, cost in self.costs.items()},
            "keep": self.keep_share,
            "mean_cost": self.mean_cost,
        }

    def bind(self, members: Sequence[str]) -> Self:
        """Bind the members, and see that those named are among them."""
        for name in self.members or ():
            if name not in members:
                raise UnknownNameError(
                    "cascade.members",
                    expected=f"members among {', '.join(members)}",
                    got=f"'{name}'",
                    todo=nearest(name, members),
                )
        return super().bind(members)

    def _fit(self, predictions: Predictions) -> None:
        """Order the members, calibrate each stage, and tune the thresholds."""
        self._check()
        labels = predictions.require_labels(self.key)
        order = self._order(predictions)
        answers, temperatures = _stage_answers(predictions, order, labels)
        stages = Stages.of(answers, labels, [self._cost(predictions.members[member]) for member in order])
        target = None if self.mean_cost is not None else self.keep_share * float(stages.correct[-1].mean())
        level = search(stages, target, self.mean_cost)
        threshold = GRID[level]
        threshold[-1] = 0.0
        self.set_buffers(
            order=np.array(order),
            inverse_temperature=np.array(1 / temperatures, np.float32),
            threshold=threshold.astype(np.float32),
        )
        self._notes = self._facts(predictions, order, stages, level, temperatures)

    def _check(self) -> None:
        if not 0 < self.keep_share <= 1:
            raise UsageError(
                "cascade.keep",
                expected="above 0 and at most 1",
                got=str(self.keep_share),
                todo="It is a share of the accuracy that all members have together.",
            )
        if self.mean_cost is not None:
            above_zero("cascade.mean_cost", self.mean_cost)
        if self.members is not None and (not self.members or len(set(self.members)) < len(self.members)):
            raise UsageError(
                "cascade.members",
                expected="some members, each once",
                got=", ".join(self.members) or "none",
                todo="Leave it out to ask all, cheapest first.",
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
                expected="latency_ms of each member",
                got=f"none of '{name}'",
                todo="Add it, or leave costs out.",
            )
        return float(self.costs[name]["latency_ms"])

    def _facts(
        self,
        predictions: Predictions,
        order: Sequence[int],
        stages: Stages,
        level: NDArray[np.int64],
        temperatures: NDArray[np.float64],
    ) -> dict[str, Any]:
        left = stages.leaving(level)
        kept = float(stages.accuracy(left) / max(stages.correct[-1].mean(), 1e-12))
        return {
            "order": [predictions.members[member] for member in order],
            "thresholds": [None if each == NEVER else round(float(each), 6) for each in GRID[level[:-1]]],
            "temperatures": temperatures.tolist(),
            "fit": {
                "exit_rates": (np.bincount(left, minlength=len(order)) / len(left)).tolist(),
                "mean_cost": float(stages.mean_cost(left)),
                "full_cost": float(stages.cost[-1]),
                "accuracy_kept": kept,
            },
        }

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C]` for logits `[M, B, C]`, of each sample's stage."""
        answers = self._answers(logits)
        result = answers[-1]
        for stage in reversed(range(len(answers) - 1)):
            result = torch.where(self._sure(answers[stage], stage)[:, None], answers[stage], result)
        return result

    def exits(self, logits: Tensor) -> Tensor:
        """Return the stage in which each sample leaves, int64 `[B]` from 0 on, for logits `[M, B, C]`."""
        answers = self._answers(logits)
        sure = [self._sure(answer, stage) for stage, answer in enumerate(answers)]
        return torch.stack(sure).to(torch.int64).argmax(dim=0)

    def forward_lazy(self, query: Query) -> Tensor:
        """Return what `forward` returns, asking each member about the samples that have not left."""
        order = self.learned("order").tolist()
        total = query(order[0], None).log_softmax(dim=1)
        result = self._answer(total, 0)
        rows = (~self._sure(result, 0)).nonzero()[:, 0]
        total = total[rows]
        for stage, member in enumerate(order[1:], start=1):
            if not len(rows):
                break
            total = torch.logaddexp(total, query(member, rows).log_softmax(dim=1))
            answer = self._answer(total, stage)
            result[rows] = answer
            stay = ~self._sure(answer, stage)
            rows, total = rows[stay], total[stay]
        return result

    def restrict_to_used(self) -> Combiner:
        """Return the cascade of the members that some sample may reach."""
        never = (self.learned("threshold") <= 0).nonzero()[:, 0]
        stages = int(never[0]) + 1
        used = [self.member_names[place] for place in self.learned("order")[:stages].tolist()]
        if len(used) == len(self.member_names):
            return self
        rule = Cascade(used, self.costs, self.keep_share, self.mean_cost)
        parts = {name: self.learned(name)[:stages] for name in ("inverse_temperature", "threshold")}
        return self.rebind(used, rule, order=torch.arange(stages), **parts)

    def _answers(self, logits: Tensor) -> list[Tensor]:
        """Return what each stage says of all samples: log-probabilities `[B, C]`."""
        asked = logits.log_softmax(dim=2).index_select(0, self.learned("order"))
        total, answers = asked[0], []
        for stage in range(len(asked)):
            total = total if stage == 0 else torch.logaddexp(total, asked[stage])
            answers.append(self._answer(total, stage))
        return answers

    def _answer(self, total: Tensor, stage: int) -> Tensor:
        """Return calibrated log-probabilities of the mean of `stage + 1` members, of the log of whose sum."""
        scale = self.learned("inverse_temperature")[stage].to(total.dtype)
        return ((total - math.log(stage + 1)) * scale).log_softmax(dim=1)

    def _sure(self, answer: Tensor, stage: int) -> Tensor:
        return answer.amax(dim=1).exp() >= self.learned("threshold")[stage]


def _stage_answers(
    predictions: Predictions, order: Sequence[int], labels: NDArray[np.int64]
) -> tuple[list[NDArray[np.float32]], NDArray[np.float64]]:
    """Return each stage's calibrated probabilities `[N, C]` of the given rows, and its temperature."""
    total: Tensor | None = None
    answers, temperatures = [], []
    for count, member in enumerate(order, start=1):
        asked = torch.from_numpy(np.array(predictions.logits[member])).log_softmax(dim=1)
        total = asked if total is None else torch.logaddexp(total, asked)
        pooled = total - math.log(count)
        temperature = best_temperature(pooled.numpy(), labels)
        answers.append((pooled / temperature).softmax(dim=1).numpy())
        temperatures.append(temperature)
    return answers, np.array(temperatures)

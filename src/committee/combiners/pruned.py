"""Pruned: some of the members, chosen by a pruning method within budgets. Choosing is fitting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from committee.base.limits import above_zero, at_least
from committee.combiners._crossfit import redraw_folds
from committee.combiners._selection import Selection
from committee.combiners.base import Combiner, build, check_choice
from committee.errors import DataError, UsageError
from committee.metrics.classification import metric as metric_of
from committee.pruning._front import front
from committee.pruning._subsets import TIE, UNITS, Budgets, Costs, Subsets
from committee.pruning.base import PRUNERS, Pruner
from committee.solvers.columns import take
from committee.solvers.search import METRICS

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

Path = list[tuple[str, ...]]


class Pruned(Selection):
    """Keep the members that a pruning method chooses on the rows of the fit, and combine them with `inner`.

    The method gives a path: a subset of each size. How good a size is, is found by cross-validation inside
    the given rows: the method runs on the other folds, and its subset of that size predicts this one. So a
    path is no better than choosing on some rows makes it on others; and since this is a combiner like any
    other, its own score is cross-fitted with all that it chose.

    Parameters
    ----------
    method : str
        `greedy_forward`, `greedy_backward`, `diversity_max` or `clustering`.
    target_size : int, optional
        Members to keep; where there are fewer, or they exceed the budgets, the best size that there is, and
        the notes say so. Left out: the size that scores best, the smaller of two equal ones.
    max_latency_ms, max_size_mb : float, optional
        What the members may cost together. Where the target does not meet them, the best size that does is
        kept.
    costs : mapping, optional
        `{member: {"latency_ms": ..., "size_mb": ...}}`; needed for budgets.
    metric : str
        `log_loss`, `accuracy` or `f1_macro` (whose mean over folds is taken) of the members' mean
        probability.
    inner : Combiner, str or mapping
        Combines those that are kept.
    measure, floor
        Of `diversity_max`.
    folds, seed : int
        Folds of the cross-validation, at most, and what draws them.

    Raises
    ------
    UsageError
        In `fit`: a target below 1, or budgets without costs.
    DataError
        In `fit`: no subset meets the budgets; the sentence says which comes nearest.
    """

    def __init__(
        self,
        method: str = "greedy_forward",
        target_size: int | None = None,
        max_latency_ms: float | None = None,
        max_size_mb: float | None = None,
        costs: Costs | None = None,
        metric: str = "log_loss",
        inner: Combiner | str | Mapping[str, Any] = "soft_voting",
        measure: str = "disagreement",
        floor: float = 0.95,
        folds: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.method = method
        self.target_size = target_size
        self.max_latency_ms = max_latency_ms
        self.max_size_mb = max_size_mb
        self.costs = costs
        self.metric = metric
        self.inner = build(inner)
        self.measure = measure
        self.floor = floor
        self.folds = folds
        self.seed = seed
        self.calibrates, self.allows_negative_weights = (
            self.inner.calibrates,
            self.inner.allows_negative_weights,
        )

    def affordable(self, members: int, rows: int, classes: int) -> bool:
        """Return False: a path takes seconds, and nobody needs one for each member left out."""
        return False

    def _fit(self, predictions: Predictions) -> None:
        """Follow the path on all rows, judge its sizes inside them, choose, and fit `inner`."""
        check_choice("pruned.metric", self.metric, METRICS)
        pruner = self._pruner()
        budgets = self._budgets(predictions)
        rows = predictions.select(_candidates(budgets, sorted(predictions.members)))
        subsets = Subsets(rows, self.metric, budgets)
        path = [subsets.names(subset) for subset in pruner.path(subsets)]
        judged = self._judged(pruner, rows, budgets, path)
        entries = [
            {
                "size": len(names),
                "members": list(names),
                self.metric: judged[place],
                "fit": subsets.value([subsets.members.index(name) for name in names]),
                **budgets.of(names),
                "meets": budgets.meets(names),
            }
            for place, names in enumerate(path)
        ]
        chosen = self._choose(entries)
        self._notes = {
            "method": self.method,
            "metric": self.metric,
            "path": entries,
            "chosen": chosen,
            "left_out": sorted(set(predictions.members) - set(rows.members)),
            "front": front(subsets, self.metric),
        }
        kept = [name for name in predictions.members if name in chosen["members"]]
        self.set_buffers(position=torch.tensor([predictions.members.index(name) for name in kept]))
        self.inner.fit(predictions.select(kept))

    def _pruner(self) -> Pruner:
        check_choice("pruned.method", self.method, PRUNERS.names())
        options = {"measure": self.measure, "floor": self.floor}
        taken = PRUNERS.options(self.method)
        return PRUNERS.make(self.method, **{name: options[name] for name in options if name in taken})

    def _budgets(self, predictions: Predictions) -> Budgets:
        limits = {"latency_ms": self.max_latency_ms, "size_mb": self.max_size_mb}
        given = {key: limit for key, limit in limits.items() if limit is not None}
        if given and self.costs is None:
            raise UsageError(
                "pruned.costs",
                expected="what each member costs, for the budgets",
                got="none",
                todo="Give costs: {member: {latency_ms: ..., size_mb: ...}}.",
            )
        for name in predictions.members if self.costs is not None else ():
            if not set(UNITS) <= set(self.costs.get(name, ())):  # type: ignore[union-attr]
                raise UsageError(
                    "pruned.costs", expected="latency_ms and size_mb of each member", got=f"none of '{name}'"
                )
        for key, limit in given.items():
            above_zero(f"pruned.max_{key}", limit)
        if self.target_size is not None:
            at_least("pruned.target_size", self.target_size, 1)
        return Budgets(self.costs or {}, given)

    def _judged(self, pruner: Pruner, rows: Predictions, budgets: Budgets, path: Path) -> list[float]:
        """Return the metric of each size: of subsets that are chosen without the rows they predict."""
        folds = redraw_folds(rows, self.seed, self.folds)
        total = np.zeros(len(path))
        for fold in np.unique(folds):
            others, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            found = pruner.path(Subsets(take(rows, others), self.metric, budgets))
            by_size = {len(subset): subset for subset in found}
            judge = Subsets(take(rows, held_out), self.metric, budgets)
            # A path that ends early on other rows has its longest subset instead.
            values = [judge.value(by_size.get(len(names), found[-1])) for names in path]
            total += np.array(values) * len(held_out)
        return (total / len(folds)).tolist()

    def _choose(self, entries: list[dict[str, Any]]) -> dict[str, Any]:
        sign = 1 if metric_of(self.metric).higher_is_better else -1
        within = [entry for entry in entries if entry["meets"]]
        wanted = [entry for entry in within if entry["size"] == self.target_size]
        allowed = wanted or within
        top = max(sign * entry[self.metric] for entry in allowed)
        # Members that say the same add only the last bits of a sum: the smallest of equal sizes it is.
        equal = [entry for entry in allowed if sign * entry[self.metric] >= top - TIE]
        best = min(equal, key=lambda entry: entry["size"])
        chosen = {key: best[key] for key in ("size", "members", self.metric, *UNITS) if key in best}
        if self.target_size is not None and not wanted:
            reached = any(entry["size"] == self.target_size for entry in entries)
            why = "they exceed the budgets" if reached else "the path has no subset of that size"
            chosen["instead_of"] = f"{self.target_size} members: {why}"
        return chosen

    def notes(self) -> dict[str, Any]:
        """Return the path, the choice, the front of all subsets looked at, and what `inner` notes."""
        return {**self._notes, "inner": self.inner.notes()}


def _candidates(budgets: Budgets, members: list[str]) -> list[str]:
    """Return the members that some subset within the budgets may have: those that meet them alone."""
    within = [name for name in members if budgets.meets([name])]
    if within:
        return within
    nearest = min(members, key=lambda name: budgets.excess([name]))
    cost, limits = budgets.of([nearest]), budgets.limits
    most = " and ".join(f"{limit:g} {UNITS[key]}" for key, limit in limits.items())
    got = " and ".join(f"{cost[key]:.3g} {UNITS[key]}" for key in limits)
    raise DataError(
        "pruned",
        expected=f"some subset of the members within {most}",
        got=f"none: nearest comes '{nearest}' alone with {got}",
        todo="Raise the budget, or train a smaller backbone.",
    )

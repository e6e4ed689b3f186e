"""Pruned ensembles: a combiner of members that a pruning method chooses within budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from committee.base.limits import above_zero, at_least
from committee.base.objectives import AUTO
from committee.combiners._selection import Selection
from committee.combiners.base import PASS, Combiner, build, check_choice
from committee.errors import DataError, UsageError
from committee.pruning.base import PRUNERS, Pruner
from committee.pruning.shared.front import front, looked_at
from committee.pruning.shared.subsets import TIE, UNITS, Budgets, Costs, Subsets
from committee.solvers.columns import pick, prepare, take
from committee.solvers.cross_fit import redraw_folds
from committee.solvers.search import evaluation_seconds

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

Path = list[tuple[str, ...]]


class Pruned(Selection):
    """Choose members by a pruning method on the rows of the fit, and combine them with `inner`.

    A pruning method returns a path: one subset of the members for each size. Sizes are compared by
    cross-validation inside the given rows: the method runs on the other folds, and the metric of its subset
    of each size is evaluated on the held-out fold. Since the choice is part of the fit, cross-fitted scores
    of this combiner include it.

    Parameters
    ----------
    method : str
        Key of a pruning method: `greedy_forward`, `greedy_backward`, `all_subsets`, `diversity_max` or
        `clustering`.
    target_size : int, optional
        Number of members to keep. If the path has no subset of this size within the budgets, the best other
        size is used and the notes give the reason. By default the size with the best metric, or the smallest
        of several equal ones.
    max_latency_ms, max_size_mb : float, optional
        Budgets: the largest total latency and size of the members.
    costs : mapping, optional
        `{member: {"latency_ms": ..., "size_mb": ...}}`; required for budgets. The part of the latency that
        is needed once for several members is in `"resizing_ms": {view: ...}`.
    metric : str
        Metric of the members' mean, as for `Weighted`. Metrics that are not means over rows are
        averaged over the folds.
    inner : Combiner, str or mapping
        The combiner of the chosen members, its key, or `{"combiner": key, **options}`.
    measure, floor
        Options of `committee.pruning.DiversityMax`.
    folds : int
        Largest number of folds of the cross-validation.
    seed : int
        Seed of the folds.

    Raises
    ------
    UsageError
        In `fit`: the target is below 1, or there are budgets without costs.
    DataError
        In `fit`: no subset is within the budgets; the message names the member that comes closest.

    See Also
    --------
    committee.pruning : The pruning methods.
    GreedySelection : Weights by selection with replacement.
    Subset : Members that are given.

    Examples
    --------
    >>> from committee.combiners import Pruned
    >>> from committee.predictions import simulate
    >>> rows = simulate({"good": 3.0, "fair": 2.0, "random": 0.0})
    >>> fitted = Pruned("greedy_forward", target_size=2).fit(rows)
    >>> fitted.notes()["chosen"]["members"]
    ['good', 'fair']
    """

    def __init__(
        self,
        method: str = "greedy_forward",
        target_size: int | None = None,
        max_latency_ms: float | None = None,
        max_size_mb: float | None = None,
        costs: Costs | None = None,
        metric: str = AUTO,
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
        inner_needs = self.inner.learns and self.inner.needs_logits
        self.needs_logits = inner_needs or _reads_logits(method)
        self.calibrates, self.allows_negative_weights = (
            self.inner.calibrates,
            self.inner.allows_negative_weights,
        )

    @classmethod
    def examples(cls, members: Sequence[str]) -> list[dict[str, Any]]:
        """Return options for the contract tests, with each pruning method; see the base class."""
        return [{"method": name, "folds": 2} for name in PRUNERS.names()]

    def seconds(self, members: int, rows: int, classes: int) -> float:
        """Return about how long a fit takes: the pruning method runs on all rows and without each fold."""
        known = self.method in PRUNERS.names()
        subsets = (PRUNERS.load(self.method) if known else Pruner).evaluations(members)
        path = members * PASS * rows * classes + subsets * evaluation_seconds(
            self.metric, rows, classes, members
        )
        return (self.folds + 1) * path + self.inner.seconds(members, rows, classes)

    def _fit(self, predictions: Predictions) -> None:
        """Compute the path on all rows, choose a size by cross-validation, and fit `inner`."""
        metric = self.task.objective(self.metric, "pruned.metric")
        pruner = self._pruner()
        budgets = self._budgets(predictions)
        prepare(predictions)
        names = _candidates(budgets, sorted(predictions.members))
        rows = pick(predictions, names, logits=pruner.needs_logits)
        subsets = Subsets(rows, metric, budgets)
        path = [subsets.names(subset) for subset in pruner.path(subsets)]
        values = self._cross_validated(pruner, rows, metric, budgets, path)
        entries = [
            {
                "size": len(names),
                "members": list(names),
                metric: values[place],
                "fit": subsets.value([subsets.members.index(name) for name in names]),
                **budgets.of(names),
                "meets": budgets.meets(names),
            }
            for place, names in enumerate(path)
        ]
        chosen = self._choose(entries, metric, subsets.sign, TIE * subsets.unit)
        self._notes = {
            "method": self.method,
            "metric": metric,
            "higher_is_better": subsets.sign > 0,
            "path": entries,
            "chosen": chosen,
            "left_out": sorted(set(predictions.members) - set(rows.members)),
            "front": front(subsets),
            "looked_at": looked_at(subsets),
        }
        kept = [name for name in predictions.members if name in chosen["members"]]
        self.set_buffers(position=torch.tensor([predictions.members.index(name) for name in kept]))
        self.fit_inner(predictions, kept)

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
                expected="the costs of each member, which budgets need",
                got="none",
                todo="Give costs: {member: {latency_ms: ..., size_mb: ...}}.",
            )
        for name in predictions.members if self.costs is not None else ():
            if not set(UNITS) <= set(self.costs.get(name, ())):  # type: ignore[union-attr]
                raise UsageError(
                    "pruned.costs",
                    expected="latency_ms and size_mb for each member",
                    got=f"none for '{name}'",
                )
        for key, limit in given.items():
            above_zero(f"pruned.max_{key}", limit)
        if self.target_size is not None:
            at_least("pruned.target_size", self.target_size, 1)
        return Budgets(self.costs or {}, given)

    def _cross_validated(
        self, pruner: Pruner, rows: Predictions, metric: str, budgets: Budgets, path: Path
    ) -> list[float]:
        """Return the metric of each size, with subsets that are chosen on the other folds."""
        folds, needed = redraw_folds(rows, self.seed, self.folds), pruner.needs_logits
        total = np.zeros(len(path))
        for fold in np.unique(folds):
            others, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            found = pruner.path(Subsets(take(rows, others, logits=needed), metric, budgets))
            by_size = {len(subset): subset for subset in found}
            evaluated = Subsets(take(rows, held_out, logits=False), metric, budgets)
            # If the path on the other folds ends earlier, its largest subset is used instead.
            values = [evaluated.value(by_size.get(len(names), found[-1])) for names in path]
            total += np.array(values) * len(held_out)
        return (total / len(folds)).tolist()

    def _choose(self, entries: list[dict[str, Any]], metric: str, sign: int, tie: float) -> dict[str, Any]:
        within = [entry for entry in entries if entry["meets"]]
        wanted = [entry for entry in within if entry["size"] == self.target_size]
        allowed = wanted or within
        top = max(sign * entry[metric] for entry in allowed)
        # Members with equal predictions change only rounding errors: take the smallest of equal sizes.
        equal = [entry for entry in allowed if sign * entry[metric] >= top - tie]
        best = min(equal, key=lambda entry: entry["size"])
        chosen = {key: best[key] for key in ("size", "members", metric, *UNITS) if key in best}
        if self.target_size is not None and not wanted:
            reached = any(entry["size"] == self.target_size for entry in entries)
            why = "they exceed the budgets" if reached else "the path has no subset of that size"
            chosen["instead_of"] = f"{self.target_size} members: {why}"
        return chosen

    def notes(self) -> dict[str, Any]:
        """Return the path, the choice, the Pareto front of evaluated subsets, and the notes of `inner`."""
        return {**self._notes, "inner": self.inner.notes()}


def _candidates(budgets: Budgets, members: list[str]) -> list[str]:
    """Return the members that are within the budgets on their own; no other can be part of a subset."""
    within = [name for name in members if budgets.meets([name])]
    if within:
        return within
    nearest = min(members, key=lambda name: budgets.excess([name]))
    cost, limits = budgets.of([nearest]), budgets.limits
    most = " and ".join(f"{limit:g} {UNITS[key]}" for key, limit in limits.items())
    got = " and ".join(f"{cost[key]:.3g} {UNITS[key]}" for key in limits)
    raise DataError(
        "pruned",
        expected=f"a subset of the members within {most}",
        got=f"none: the closest is '{nearest}' alone with {got}",
        todo="Raise the budget, or train a smaller backbone.",
    )


def _reads_logits(method: str) -> bool:
    """Return whether a pruning method reads logits; an unknown one is an error of the fit."""
    return method not in PRUNERS.names() or PRUNERS.load(method).needs_logits

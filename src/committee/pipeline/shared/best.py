"""The best evaluated models of a store, by the ranking of the leaderboard and within a cost budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from committee.errors import StoreError
from committee.metrics.named import METRICS
from committee.pipeline.shared.rankings import ranking_of
from committee.pipeline.shared.reports import Report, rank, read_reports, value_of
from committee.pipeline.shared.winner import winner
from committee.recipe.model import CostBudget, Recipe
from committee.store.layout import Store


def best_models(store: Store, metric: str | None = None, budget: CostBudget | None = None) -> list[str]:
    """Return the names of the best ensemble and of the best single member of a store.

    If the gain of the best ensemble over the best single member is not proven, but that of another ensemble
    is, the best such ensemble is added. Members that are derived from other members, such as a soup or a
    fusion head, count as ensembles. An ensemble that uses one member is left out: it is that member.

    Parameters
    ----------
    store : Store
        A store with evaluated models.
    metric : str, optional
        Key of the metric, by default that of the task; its cross-fitted value ranks the models, as on the
        leaderboard. Models without a value come last, by name. Of ensembles that cannot be told from the one
        with the best value, the fastest is returned; see `committee.scoring.choice.choose`.
    budget : CostBudget, optional
        Models whose measured latency or size exceeds it are not considered. A latency that was measured with
        several images per call is compared unchanged, so it can only exclude too many models.

    Raises
    ------
    StoreError
        No model is evaluated, or none is within the budget.
    """
    reports = read_reports(store)
    if not reports:
        raise StoreError(
            str(store),
            expected="evaluated models, to export the best of them",
            got="none",
            todo="Run committee evaluate, or name the models: --model-name NAME",
        )
    metric = metric or ranking_of(reports).default
    proven = proven_gains(reports, metric)
    found = [
        _first_ensemble(store, reports, metric, budget),
        _first_ensemble(store, proven, metric, budget),
        _first_single(reports, metric, budget),
    ]
    names = list(dict.fromkeys(str(each["name"]) for each in found if each is not None))
    if not names:
        raise StoreError(
            str(store),
            expected="a model within pruning.cost_budget",
            got="none",
            todo="Raise the budget, or name the models: --model-name NAME",
        )
    return names


def best_within(recipe: Recipe, store: Store) -> list[str]:
    """Return the names of the best models within the cost budget of a recipe; see `best_models`."""
    return best_models(store, budget=recipe.pruning.cost_budget if recipe.pruning else None)


def is_single(report: Report) -> bool:
    """Return whether a model is a member that is not derived from other members."""
    return report.get("kind", "member") == "member" and not report.get("of")


def is_ensemble(report: Report) -> bool:
    """Return whether a model is an ensemble, or a member that is derived from other members."""
    return not is_single(report)


def is_of_one(report: Report) -> bool:
    """Return whether a model is an ensemble that uses one member, whose predictions it can only rescale."""
    return report.get("kind") == "ensemble" and len(report.get("members", ())) == 1


def _is_proven(report: Report, metric: str) -> bool:
    """Return whether the gain of a model over the best single member is proven."""
    return bool(report.get("gain", {}).get(metric, {}).get("proven"))


def proven_gains(reports: Sequence[Report], metric: str) -> list[Report]:
    """Return the models whose gain is proven, and that no single member among the reports exceeds.

    The gain of a derived member is that over the best of its sources: a soup of poor networks may have a
    proven gain, and still be worse than a member with another backbone.
    """
    sign = METRICS[metric].sign

    def score(report: Report) -> float:
        value = value_of(report, "cross_fitted", metric)
        return -math.inf if value is None else sign * value

    best: dict[Any, float] = {}
    for report in filter(is_single, reports):
        best[report.get("rows")] = max(score(report), best.get(report.get("rows"), -math.inf))
    return [
        each
        for each in reports
        if _is_proven(each, metric) and score(each) >= best.get(each.get("rows"), -math.inf)
    ]


def is_within(report: Report, budget: CostBudget | None) -> bool:
    """Return whether the measured latency and size of a model are within a budget; None allows everything."""
    if budget is None:
        return True
    latency = math.inf if budget.max_latency_ms is None else budget.max_latency_ms
    size = math.inf if budget.max_size_mb is None else budget.max_size_mb
    return bool(report["latency_ms"]["median"] <= latency and report["size_mb"] <= size)


def _first_ensemble(
    store: Store, reports: Sequence[Report], metric: str, budget: CostBudget | None
) -> Report | None:
    found = [
        report
        for report in reports
        if is_ensemble(report) and not is_of_one(report) and is_within(report, budget)
    ]
    chosen = winner(store, found, metric)
    return None if chosen is None else chosen[0]


def _first_single(reports: Sequence[Report], metric: str, budget: CostBudget | None) -> Report | None:
    found = [report for report in reports if is_single(report) and is_within(report, budget)]
    return next(iter(rank(found, metric)), None)

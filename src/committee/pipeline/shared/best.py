"""The best evaluated models of a store, by the ranking of the leaderboard and within a cost budget."""

from __future__ import annotations

import math
from collections.abc import Iterable

from committee.pipeline.shared.reports import DEFAULT_METRIC, Report, rank, read_reports
from committee.recipe.model import CostBudget
from committee.store.layout import Store


def best_ensemble(
    store: Store, metric: str = DEFAULT_METRIC, budget: CostBudget | None = None
) -> Report | None:
    """Return the `metrics.json` report of the best evaluated ensemble, or None if there is none.

    Parameters
    ----------
    store : Store
        A store with evaluated models.
    metric : str
        Key of the metric; its cross-fitted value ranks the models, as on the leaderboard.
    budget : CostBudget, optional
        Models whose measured latency or size exceeds it are not considered. A latency that was measured with
        several images a call is compared as it is, so it can only exclude too many models.

    Notes
    -----
    Models without a cross-fitted value of the metric come last, by name.

    See Also
    --------
    best_member : The same choice among members.
    """
    return _best(store, store.ensembles(), metric, budget)


def best_member(
    store: Store, metric: str = DEFAULT_METRIC, budget: CostBudget | None = None
) -> Report | None:
    """Return the `metrics.json` report of the best evaluated member, or None; see `best_ensemble`."""
    return _best(store, store.members(), metric, budget)


def is_within(report: Report, budget: CostBudget | None) -> bool:
    """Return whether the measured latency and size of a model are within a budget; None allows everything."""
    if budget is None:
        return True
    latency = math.inf if budget.max_latency_ms is None else budget.max_latency_ms
    size = math.inf if budget.max_size_mb is None else budget.max_size_mb
    return bool(report["latency_ms"]["median"] <= latency and report["size_mb"] <= size)


def _best(store: Store, names: Iterable[str], metric: str, budget: CostBudget | None) -> Report | None:
    of_kind = set(names)
    ranked = rank([each for each in read_reports(store) if each["name"] in of_kind], metric)
    return next((report for report in ranked if is_within(report, budget)), None)

"""Prune: choose the members worth keeping within budgets, by each method of the recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from committee.pipeline.discover import MEMBERS, discover, look_through, require_store, set_aside
from committee.pipeline.shared.choose import Method, enabled
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.stages.score_ensemble import Material, build_all, gather
from committee.pruning._front import not_dominated
from committee.recipe.model import Pruning, Recipe
from committee.store.commit import write_json
from committee.store.layout import Store


def prune(recipe: Recipe, store: Store) -> Outcome:
    """Build `pruned_<method>` for each method of `pruning`, on measured costs and out-of-fold predictions.

    Returns
    -------
    Outcome
        The ensembles made, and the methods that failed: also those whose budgets no subset meets. The front
        of all subsets that the methods looked at is in `metrics/pruning.json` of the store.

    Raises
    ------
    UsageError
        The recipe has no such section.
    StoreError
        There are no members, or some have no predictions to learn from.
    """
    pruning = section_of(recipe)
    require_store(store)
    outcome = Outcome(unbuilt=recipe.unbuilt())
    with store.hold():
        catalog = discover(store)
        methods = methods_of(pruning)
        set_aside(catalog, outcome, needed=MEMBERS, renewed=[str(each["name"]) for each in methods])
        material = gather(recipe, store, catalog)
        build_all(methods, material, outcome)
        if outcome.done:
            _keep_front(outcome.done, pruning, material)
    return outcome


def plan_prune(recipe: Recipe, store: Store) -> dict[str, Any]:
    """Return what `prune` would do: `ensembles`, `members`, `rows`, `n`; nothing is timed or chosen."""
    pruning = section_of(recipe)
    material = gather(recipe, store, look_through(store))
    return {
        "ensembles": [each["name"] for each in methods_of(pruning)],
        "members": list(material.predictions.members),
        "rows": material.rows,
        "n": len(material.predictions),
    }


def section_of(recipe: Recipe) -> Pruning:
    """Return `pruning`, or raise UsageError where it is not enabled."""
    todo = "Write it into the recipe, or: --method greedy_forward"
    return enabled(recipe.pruning, "pruning", todo)


def methods_of(pruning: Pruning) -> list[Method]:
    """Return the methods that build the pruned ensembles."""
    budget = pruning.cost_budget
    shared = {
        "metric": pruning.metric,
        "inner": pruning.inner,
        "measure": pruning.measure,
        "floor": pruning.floor,
        "target_size": pruning.target_size,
        "max_latency_ms": budget.max_latency_ms,
        "max_size_mb": budget.max_size_mb,
    }
    return [
        {"combiner": "pruned", "name": f"pruned_{method}", "method": method, **shared}
        for method in dict.fromkeys(pruning.methods)
    ]


def read_front(store: Store, names: Sequence[str], metric: str) -> list[dict[str, Any]]:
    """Return the Pareto front of all subsets that some pruned ensembles looked at, cheapest first."""
    points: list[Mapping[str, Any]] = []
    for name in names:
        points += ensemble_facts(store, name)["notes"]["front"]
    return not_dominated(points, metric)


def _keep_front(names: Sequence[str], pruning: Pruning, material: Material) -> None:
    report = {
        "metric": pruning.metric,
        "rows": material.rows,
        "costs": material.costs,
        "methods": list(names),
        "front": read_front(material.store, names, pruning.metric),
    }
    place = material.store.pruning_report()
    place.parent.mkdir(parents=True, exist_ok=True)
    write_json(place, report)

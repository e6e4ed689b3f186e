"""Mixture of experts: a gate over members of the store, cross-fitted."""

from __future__ import annotations

import logging
from typing import Any

from committee.pipeline.discover import MEMBERS, Catalog, discover, look_through, require_store, set_aside
from committee.pipeline.shared.choose import choose_deployed, choose_members, enabled
from committee.pipeline.shared.derived_members import carry_out, open_bench
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.splits import fitting_rows
from committee.predictions.table import Predictions
from committee.recipe.model import Recipe
from committee.recipe.runs import Moe
from committee.store.layout import Store
from committee.training.plans.moe import MoePlan

log = logging.getLogger(__name__)

NAME = "moe"


def moe_train(recipe: Recipe, store: Store) -> Outcome:
    """Train the mixture of experts that a recipe asks for, as the member `moe` of the store.

    Raises
    ------
    UsageError
        The recipe has no such section, or there are too few members.
    StoreError
        There are no members, or some have no predictions to learn from.
    """
    section = section_of(recipe)
    require_store(store)
    outcome = Outcome(unbuilt=recipe.unbuilt())
    with store.hold():
        catalog = discover(store)
        set_aside(catalog, outcome, needed=MEMBERS)
        predictions, rows, deployed = _candidates(recipe, store, catalog)
        bench = open_bench(recipe, store, catalog)
        members = list(predictions.members)
        inference = "folds" if set(deployed.values()) == {"folds"} else "refit"
        plan = MoePlan(NAME, bench.inputs(members, inference), section, predictions, rows)
        carry_out([plan], bench, outcome)
        discover(store)
    return outcome


def plan_moe_train(recipe: Recipe, store: Store) -> dict[str, Any]:
    """Return what `moe_train` would do: `members`, `experts` of them, `method`, `top_k`, `rows`, `n`."""
    section = section_of(recipe)
    predictions, rows, _ = _candidates(recipe, store, look_through(store))
    return {
        "members": list(predictions.members),
        "experts": min(section.num_experts, len(predictions.members)),
        "method": str(section.method),
        "top_k": section.top_k,
        "rows": rows,
        "n": len(predictions),
    }


def section_of(recipe: Recipe) -> Moe:
    """Return `runs.moe`, or raise UsageError where it is not enabled."""
    todo = "Write it into the recipe, or: --set runs.moe.num_experts=3"
    return enabled(recipe.runs.moe, "runs.moe", todo)


def _candidates(recipe: Recipe, store: Store, catalog: Catalog) -> tuple[Predictions, str, dict[str, str]]:
    """Return the predictions to learn from, what rows they are, and which networks speak.

    Where some members have fold networks, those without are left out: what speaks for them in a fold has seen
    its rows.
    """
    entries = {str(entry["name"]): entry for entry in catalog["members"]}
    chosen = [name for name in choose_members(recipe, catalog["members"], store) if name != NAME]
    folded = [name for name in chosen if "fold_0" in entries[name]["fits"]]
    for name in sorted(set(chosen) - set(folded)) if folded else []:
        log.warning("%s goes without %s: it has no fold networks", NAME, name)
    members = folded or chosen
    deployed = choose_deployed(recipe, catalog["members"], members)
    predictions, rows = fitting_rows(store, members, deployed)
    return predictions, rows, deployed

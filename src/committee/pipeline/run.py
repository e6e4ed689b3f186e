"""All stages of a recipe, one after the other."""

from __future__ import annotations

import logging

from committee.errors import CommitteeError
from committee.exporters._base import EXPORTERS
from committee.pipeline.build import build
from committee.pipeline.choose import choose_methods, full_name
from committee.pipeline.discover import discover
from committee.pipeline.evaluate import evaluate
from committee.pipeline.export import export
from committee.pipeline.meta_fuse import meta_fuse
from committee.pipeline.outcome import Outcome
from committee.pipeline.prune import prune
from committee.pipeline.train import train
from committee.recipe.model import Recipe
from committee.store.layout import Store

log = logging.getLogger(__name__)


def run(recipe: Recipe, store: Store) -> Outcome:
    """Train, build, evaluate and export all that a recipe asks for, and bring the catalog up to date.

    Each stage goes on without what failed in the one before; what is done already is not done again.

    Returns
    -------
    Outcome
        Names of members, ensembles and packages; reasons of what failed; what is not built yet.

    Raises
    ------
    CommitteeError
        A stage cannot even begin.
    """
    methods = choose_methods(recipe)
    with store.hold():
        outcome = train(recipe, store)
        if not outcome.done:
            return outcome
        if methods:
            outcome.merge(build(recipe, store))
        if recipe.pruning is not None and recipe.pruning.enable:
            outcome.merge(prune(recipe, store))
        fuser = recipe.runs.meta_fuser
        if fuser is not None and fuser.enable:
            try:
                outcome.merge(meta_fuse(recipe, store))
            except CommitteeError as error:  # after hours of training the other stages still go on
                outcome.fail(fuser.name, error)
        outcome.merge(evaluate(recipe, store))
        if recipe.exports.enable:
            outcome.merge(export(recipe, store))
        discover(store)
    return outcome


def plan_run(recipe: Recipe) -> dict[str, list[str]]:
    """Return what `run` would make of the members: `ensembles`, and packages in these `formats`.

    Raises
    ------
    CommitteeError
        As `run` would, before it trains.
    """
    formats = [name for name in recipe.exports.formats if name in EXPORTERS.names()]
    pruning, fuser = recipe.pruning, recipe.runs.meta_fuser
    names = [full_name(method) for method in choose_methods(recipe)]
    names += [f"pruned_{method}" for method in pruning.methods] if pruning and pruning.enable else []
    names += [fuser.name] if fuser and fuser.enable else []
    return {
        "ensembles": names,
        "formats": formats if recipe.exports.enable else [],
    }

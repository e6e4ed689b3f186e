"""All stages of a recipe, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from committee.errors import CommitteeError
from committee.exporters.base import EXPORTERS
from committee.pipeline.discover import discover
from committee.pipeline.names import derived_names, ensemble_names
from committee.pipeline.shared.choose import choose_methods
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.stages.evaluate import evaluate
from committee.pipeline.stages.export import export
from committee.pipeline.stages.fusion import fusion_train
from committee.pipeline.stages.meta_fuser import meta_fuse
from committee.pipeline.stages.moe import moe_train
from committee.pipeline.stages.pruning import prune
from committee.pipeline.stages.score_ensemble import build
from committee.pipeline.stages.soups import make_soups
from committee.pipeline.stages.train import train
from committee.recipe.model import Recipe
from committee.recipe.section import Section
from committee.store.layout import Store

log = logging.getLogger(__name__)

Stage = Callable[[Recipe, Store], Outcome]


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
    ensemble_names(recipe)
    with store.hold():
        outcome = train(recipe, store)
        if not outcome.done:
            return outcome
        for name, stage in _stages(recipe):
            try:
                outcome.merge(stage(recipe, store))
            except CommitteeError as error:  # after hours of training the other stages still go on
                outcome.fail(name, error)
        outcome.merge(evaluate(recipe, store))
        if recipe.exports.enable:
            outcome.merge(export(recipe, store))
        discover(store)
    return outcome


def plan_run(recipe: Recipe) -> dict[str, list[str]]:
    """Return what `run` would make of the members: others, ensembles, and packages in these `formats`.

    Raises
    ------
    CommitteeError
        As `run` would, before it trains.
    """
    formats = [name for name in recipe.exports.formats if name in EXPORTERS.names()]
    return {
        "members of members": derived_names(recipe),
        "ensembles": ensemble_names(recipe),
        "formats": formats if recipe.exports.enable else [],
    }


def _stages(recipe: Recipe) -> Iterator[tuple[str, Stage]]:
    """Return the stages between training and evaluation that a recipe asks for, each with its section."""
    runs = recipe.runs
    if _enabled(runs.model_soup):
        yield "runs.model_soup", make_soups
    if _enabled(runs.fusion):
        yield "runs.fusion", fusion_train
    if _enabled(runs.moe):
        yield "runs.moe", moe_train
    if choose_methods(recipe):
        yield "runs.score_ensemble", lambda *given: build(*given, soups=False)
    if _enabled(recipe.pruning):
        yield "pruning", prune
    if runs.meta_fuser is not None and runs.meta_fuser.enable:
        yield runs.meta_fuser.name, meta_fuse


def _enabled(section: Section | None) -> bool:
    return section is not None and bool(getattr(section, "enable", False))

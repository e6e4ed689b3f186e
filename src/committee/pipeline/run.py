"""Runs of the stages of a recipe, one after the other."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from committee.base.deadline import in_effect
from committee.errors import CommitteeError, RecipeError, UsageError
from committee.pipeline.discover import discover
from committee.pipeline.shared.for_task import for_store, for_task
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.run_record import write_run
from committee.pipeline.shared.summary import Summary, Table
from committee.pipeline.shared.tracking import tracked
from committee.pipeline.stages.base import STAGES, Names, Stage, wanted
from committee.pipeline.time_limit import TimeLimit, describe
from committee.recipe.model import Recipe
from committee.recipe.unused import unused
from committee.store.layout import Store
from committee.tasks.base import TASKS

log = logging.getLogger(__name__)


def run(recipe: Recipe, store: Store | str | Path) -> Outcome:
    """Train, combine, evaluate and export everything that a recipe enables, and update the catalog.

    A stage continues without the models that failed in an earlier one. Results in the store are not computed
    again, so the same call resumes an interrupted run. With a `time_limit`, members for which no time is left
    are named and left out, and the stages after training still run.

    Parameters
    ----------
    recipe : Recipe
    store : Store, str or Path
        The store, or its folder.

    Returns
    -------
    Outcome
        Names of members, ensembles and packages, and the reasons of failures.

    Raises
    ------
    CommitteeError
        Two members or ensembles would have the same name, or a required stage cannot start.
    UnfinishedError
        The time limit left no time for any member.

    Examples
    --------
    >>> import committee
    >>> recipe = committee.load_recipe("recipe.yaml")  # doctest: +SKIP
    >>> committee.run(recipe, "store").ensembles  # doctest: +SKIP
    ['soft_voting_ensemble', 'weighted_ensemble']
    """
    if not isinstance(recipe, Recipe):
        raise UsageError(
            "recipe",
            expected="a Recipe",
            got=f"a {type(recipe).__name__}",
            todo="Read one with: committee.load_recipe(PATH)",
        )
    store, stages = Store.of(store), wanted(recipe)
    limit = TimeLimit(recipe, store)
    check_names(stages, recipe)
    _warn_of_unused(stages, recipe)
    for text in (text for stage in stages for text in stage.names(recipe).left_out):
        log.warning("%s", text)
    outcome, seconds = Outcome(), dict[str, float]()
    with store.hold(), tracked(recipe, store, outcome):
        for index, stage in enumerate(stages):
            start = time.perf_counter()
            try:
                with limit.of_stage(stage, stages[index + 1 :]):
                    outcome.merge(stage.run(recipe, store))
            except CommitteeError as error:
                if stage.required:
                    raise
                outcome.fail(stage.key, error)  # after hours of training the other stages still run
            seconds[stage.key] = time.perf_counter() - start
            if stage.required and not outcome.done:
                limit.require_some(outcome)
                return outcome
        discover(store)
        write_run(recipe, store, seconds, time_limit=limit.about(outcome))
    return outcome


def run_verb(verb: str, recipe: Recipe, store: Store, **options: Any) -> Outcome:
    """Run the stages of a verb of the command line, such as `build-ensemble`.

    Parameters
    ----------
    verb : str
    recipe : Recipe
    store : Store
    **options
        Arguments of the constructors of the stages, such as `methods=["weighted"]`.

    Returns
    -------
    Outcome
        The merged outcomes of the stages.

    Raises
    ------
    CommitteeError
        Two members or ensembles would have the same name, or a stage cannot start.
    """
    stages = stages_of(verb, recipe, **options)
    check_names(stages, recipe)
    if not options.get("methods"):
        _warn_of_unused(stages, for_store(recipe, store))
    outcome, seconds = Outcome(), dict[str, float]()
    # A stage names a store that does not exist, and `hold` would create it.
    held = store.hold() if store.root.is_dir() else contextlib.nullcontext()
    with held, tracked(recipe, store, outcome), in_effect(TimeLimit(recipe, store).end):
        for stage in stages:
            start = time.perf_counter()
            outcome.merge(stage.run(recipe, store))
            seconds[stage.key] = time.perf_counter() - start
        write_run(recipe, store, seconds, verb)
    return outcome


def stages_of(verb: str, recipe: Recipe, **options: Any) -> list[Stage]:
    """Return the stages of a verb that the recipe or an option enables, in their order.

    If none is enabled, this is the main stage of the verb, which raises an error with advice.
    """
    stages = [
        STAGES.make(name, **{key: options[key] for key in STAGES.options(name) if key in options})
        for name in STAGES.names()
        if verb in STAGES.constants(name)["verbs"]
    ]
    stages.sort(key=lambda stage: stage.order)
    main = [stage for stage in stages if next(iter(stage.verbs)) == verb][-1:]
    return [stage for stage in stages if stage.is_wanted(recipe)] or main


def plan_run(recipe: Recipe, store: Store) -> Summary:
    """Return the plan of a run: the plans of the required stages, and the names of what the others make.

    Raises
    ------
    CommitteeError
        A run would raise the same error before it trains.
    """
    stages = wanted(recipe)
    check_names(stages, recipe)
    _warn_of_unused(stages, recipe)
    plans = [stage.plan(recipe, store) for stage in stages if stage.required]
    facts = {key: value for plan in plans for key, value in plan.facts.items()}
    recipe = for_task(recipe, TASKS.make(facts["task"]))
    later = {stage.key: stage.names(recipe) for stage in stages if not stage.required}
    facts["stages"] = {key: vars(names) for key, names in later.items()}
    table = Table("Stages that would follow", ["stage", "makes"], [[k, _listed(v)] for k, v in later.items()])
    left_out = [text for names in later.values() for text in names.left_out]
    blocks = [*(block for plan in plans for block in plan.blocks), table, *left_out]
    limit = TimeLimit(recipe, store)
    if limit.limit is not None:
        hours = {each["member"]: _with_workers(each["hours"], facts["workers"]) for each in facts["members"]}
        text, late = describe(limit, [stage for stage in stages if not stage.required], hours)
        facts["time_limit"] = {"seconds": limit.limit, "unfinished": late}
        blocks.append(text)
    return Summary(facts, blocks)


def _with_workers(hours: float | None, workers: int) -> float | None:
    return None if hours is None else hours / workers


def check_names(stages: Sequence[Stage], recipe: Recipe) -> None:
    """Check that all members and ensembles of a recipe have different names.

    Raises
    ------
    RecipeError
        Two names are equal or differ only in case, which some file systems do not distinguish.
    UsageError
        A section asks for something that cannot be made.
    """
    used: set[str] = set()
    for stage in stages:
        names = stage.names(recipe)
        for name in (*names.members, *names.ensembles):
            if name.lower() in used:
                raise RecipeError(
                    "recipe",
                    expected="a different name for each member and ensemble",
                    got=f"'{name}' twice",
                    todo="Rename one of them.",
                )
            used.add(name.lower())


def _warn_of_unused(stages: Sequence[Stage], recipe: Recipe) -> None:
    """Log the keys of the sections of stages that are set without an effect."""
    for key, why in unused(recipe).items():
        if any(key.startswith(stage.sections) for stage in stages):
            log.warning("%s has no effect: %s", key, why)


def _listed(names: Names) -> str:
    return ", ".join((*names.members, *names.ensembles, *names.formats))

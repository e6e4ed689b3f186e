"""What a recipe means for the task of a data set: defaults that follow the task, and what does not apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

from committee.base.objectives import is_custom
from committee.combiners.base import COMBINERS
from committee.combiners.shared.serving import serves, serving
from committee.errors import UsageError, first_five
from committee.images.record import load_record
from committee.models.composites.base import COMPOSITES
from committee.pipeline.shared.choose import learner_key
from committee.predictions.target_types import CLASSES, TargetType
from committee.recipe.comparison import Comparison
from committee.recipe.distillation import LossChoice
from committee.recipe.model import Recipe
from committee.recipe.runs import Method
from committee.recipe.section import Section
from committee.store.layout import Store
from committee.tasks.base import Task, task_for
from committee.training.distillation_losses.base import check_serves

OF_COMPOSITES = {"runs.moe": "moe", "runs.fusion": "fusion", "tta": "viewed"}
"""Sections of a recipe, and the composite that they make."""
SERVE: Mapping[str, tuple[str, ...]] = {
    "channel_pruning": ("classes", "numbers"),
    "compare": ("classes", "numbers"),
    "compress": ("classes", "numbers"),
}
"""Further sections that do not serve all tasks, and the target types that they serve."""
INSTEAD: Mapping[str, str] = {
    "compare": "See scores, times and sizes with: committee leaderboard",
    "compress": "Write smaller files, of which each pixel is compared, with: committee export --formats "
    "onnx:precision=float16,onnx:precision=int8",
}
"""What to do in place of sections that have verbs of their own."""


def for_store(recipe: Recipe, store: Store) -> Recipe:
    """Return the recipe with the defaults of the task of the store's data set."""
    return for_task(recipe, task_of_store(store))


def task_of_store(store: Store) -> Task:
    """Return the task of the data set of a store; without one, that of classes."""
    record = load_record(store)
    return task_for(CLASSES if record is None else record.kind)


def for_task(recipe: Recipe, task: Task) -> Recipe:
    """Return the recipe with the defaults of a task, in place of those of classes; what is set stays."""
    runs, metric = recipe.runs, task.objectives[0]
    methods = [Method.model_construct({"combiner"}, combiner=name) for name in task.methods]
    found = {
        "score_ensemble": _with_defaults(
            runs.score_ensemble,
            methods=methods,
            optimization_metric=metric,
            calibrate=task.calibrations[0],
        ),
        "stacking": _with_defaults(runs.stacking, meta_learners=[task.learner]),
        "meta_fuser": _with_defaults(
            runs.meta_fuser, input_ensembles=list(task.fused), fuser_type=task.learner
        ),
    }
    return recipe.model_copy(
        update={
            "runs": runs.model_copy(update=found),
            "pruning": _with_defaults(recipe.pruning, metric=metric),
            "distillation": _with_defaults(recipe.distillation, loss=LossChoice(name=task.taught_by)),
        }
    )


def _with_defaults(section: Section | None, **values: Any) -> Any:
    """Return a section in which keys that the recipe does not set have these values."""
    if section is None:
        return None
    update = {key: value for key, value in values.items() if key not in section.model_fields_set}
    copy = section.model_copy(update=update)
    copy.__pydantic_fields_set__.difference_update(update)
    return copy


def check_task(recipe: Recipe, target_type: TargetType) -> None:
    """Raise UsageError if a section of the recipe asks for something that the task of its data does not have.

    Raises
    ------
    UsageError or RecipeError
        The message names the key, and what applies instead.
    """
    task = task_for(target_type)
    recipe = for_task(recipe, task)
    runs = recipe.runs
    if runs.score_ensemble.enable:
        _check_combiners(
            "runs.score_ensemble.methods", [m.combiner for m in runs.score_ensemble.methods], task
        )
        _check_among("runs.score_ensemble.calibrate", runs.score_ensemble.calibrate, task.calibrations, task)
        _check_metric(
            "runs.score_ensemble.optimization_metric", runs.score_ensemble.optimization_metric, task
        )
    if recipe.pruning is not None and recipe.pruning.enable:
        _check_metric("pruning.metric", recipe.pruning.metric, task)
    if recipe.distillation is not None and recipe.distillation.enable:
        check_serves(str(recipe.distillation.loss.name), task)
    if runs.stacking is not None and runs.stacking.enable:
        keys = [learner_key(kind) for kind in runs.stacking.meta_learners]
        _check_combiners("runs.stacking.meta_learners", keys, task)
    if runs.meta_fuser is not None and runs.meta_fuser.enable:
        _check_combiners("runs.meta_fuser.fuser_type", [learner_key(runs.meta_fuser.fuser_type)], task)
    if recipe.compare is not None and recipe.compare.enable:
        check_least(recipe.compare, task)
    for key in (*OF_COMPOSITES, *SERVE):
        section = attrgetter(key)(recipe)
        if section is not None and section.enable:
            _check_served(key, target_type.name)


def check_least(section: Comparison, task: Task) -> None:
    """Raise UsageError for a smallest accuracy of models that have none."""
    metric = task.metric(task.guarded)
    if section.min_accuracy is not None and not metric.in_points:
        raise UsageError(
            "compare.min_accuracy",
            expected=f"none for {task.target_type.name}, whose models have an {metric.name}",
            got=f"{section.min_accuracy:g}",
            todo="Leave it out: files are chosen by that metric, within the limits of latency and size.",
        )


def require_served(section: str, store: Store) -> None:
    """Raise UsageError if a section does not serve the task of the data set of the store."""
    _check_served(section, task_of_store(store).target_type.name)


def _check_served(key: str, kind: str) -> None:
    """Raise UsageError if a section does not serve a target type."""
    serves = COMPOSITES.load(OF_COMPOSITES[key]).serves if key in OF_COMPOSITES else SERVE[key]
    if kind not in serves:
        raise UsageError(
            key,
            expected=f"members that predict {' or '.join(serves)}",
            got=f"a data set of {kind}",
            todo=INSTEAD.get(key, "Remove the section, or combine the members with runs.score_ensemble."),
        )


def _check_combiners(key: str, names: Sequence[Any], task: Task) -> None:
    kind = task.target_type.name
    wrong = [str(name) for name in names if not serves(COMBINERS.load(str(name)), task.target_type)]
    if wrong:
        stacks = wrong[0].startswith("stacking_")
        known = [name for name in serving(task) if name.startswith("stacking_") == stacks]
        raise UsageError(
            key,
            expected=f"combiners of {kind}: {', '.join(name.removeprefix('stacking_') for name in known)}",
            got=first_five(name.removeprefix("stacking_") for name in wrong),
            todo="Leave the key out, which means those of the task.",
        )


def _check_among(key: str, value: str, known: Sequence[str], task: Task) -> None:
    if value not in known:
        raise UsageError(
            key, expected=f"{' or '.join(known)} for {task.target_type.name}", got=value, todo="Leave it out."
        )


def _check_metric(key: str, value: str, task: Task) -> None:
    if not is_custom(value):
        _check_among(key, value, task.objectives, task)

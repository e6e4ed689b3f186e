"""Keys outside of `training` that a recipe sets without an effect, since nothing uses them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from committee.base.registry import Family
from committee.recipe.distillation import LOSSES, Distillation
from committee.recipe.model import Recipe
from committee.recipe.runs import COMBINERS
from committee.recipe.section import Section

PRUNING: Family[Any] = Family("committee.pruning", "pruning method")
SHARED = {
    "space": "space",
    "weights": "weights",
    "optimize_weights": "weights",
    "optimization_metric": "metric",
}
"""Key of `runs.score_ensemble` -> the option of combiners that it sets."""


def unused(recipe: Recipe) -> dict[str, str]:
    """Return the keys that are set without an effect, and why.

    Settings of `training` depend on the plan of each member; `OfBackbone.unused` names those.

    Examples
    --------
    >>> from committee.recipe.load import load_recipe
    >>> from committee.recipe.unused import unused
    >>> unused(load_recipe(None, ["runs.stacking={meta_learners: [lr], rf_config: {max_depth: 3}}"]))
    {'runs.stacking.rf_config': 'rf is not chosen'}
    """
    runs, pruning = recipe.runs, recipe.pruning
    found: dict[str, str] = {}
    if runs.score_ensemble.enable:
        chosen = [str(method.combiner) for method in runs.score_ensemble.methods]
        found |= _among("runs.score_ensemble", runs.score_ensemble, SHARED, COMBINERS, chosen)
    if runs.stacking is not None and runs.stacking.enable:
        found |= _configs("runs.stacking", runs.stacking, runs.stacking.meta_learners)
    if runs.meta_fuser is not None and runs.meta_fuser.enable:
        found |= _configs("runs.meta_fuser", runs.meta_fuser, [runs.meta_fuser.fuser_type])
    if pruning is not None and pruning.enable:
        keys = {"measure": "measure", "floor": "floor"}
        found |= _among("pruning", pruning, keys, PRUNING, pruning.methods)
    if recipe.distillation is not None and recipe.distillation.enable:
        found |= _distillation(recipe.distillation, recipe.training.folds)
    return found


def _distillation(section: Distillation, folds: int) -> dict[str, str]:
    given = section.model_fields_set
    loss = str(section.loss.name)
    found = _among("distillation", section, {"temperature": "temperature"}, LOSSES, [loss])
    if "teacher_rows" in given and not folds:
        found["distillation.teacher_rows"] = "there are no fold networks"
    if not section.alpha:
        keys = [key for key in ("temperature", "loss", "cached", "unlabeled", "teacher_rows") if key in given]
        found |= {f"distillation.{key}": "alpha is 0, so that the teacher has no weight" for key in keys}
    return found


def _among(
    path: str, section: Section, keys: dict[str, str], family: Family[Any], chosen: Sequence[str]
) -> dict[str, str]:
    """Return the keys that set an option which none of the chosen entries of a family has."""
    options = {option for name in chosen for option in family.options(name)}
    given = [key for key in keys if key in section.model_fields_set and keys[key] not in options]
    return {f"{path}.{key}": f"none of {', '.join(chosen)} uses it" for key in given}


def _configs(path: str, section: Section, chosen: Sequence[str]) -> dict[str, str]:
    """Return the settings of learners that are not chosen."""
    kinds = _suffixed(section, "_config")
    return {f"{path}.{kind}_config": f"{kind} is not chosen" for kind in kinds if kind not in chosen}


def _suffixed(section: Section, suffix: str) -> Iterator[str]:
    given = (key for key in type(section).model_fields if key in section.model_fields_set)
    return (key.removesuffix(suffix) for key in given if key.endswith(suffix))

"""Choice of the members, deployed networks and methods that a recipe names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from pydantic import ValidationError

from committee.combiners.base import COMBINERS, Combiner
from committee.combiners.base import build as build_combiner
from committee.errors import RecipeError, StoreError
from committee.pipeline.shared.records import failures, inference_of
from committee.recipe.document import Document
from committee.recipe.members import matches
from committee.recipe.model import Recipe
from committee.recipe.runs import MetaFuser, Stacking
from committee.recipe.runs import Method as MethodSection
from committee.recipe.section import Section
from committee.recipe.validation_errors import recipe_error
from committee.store.layout import Store

log = logging.getLogger(__name__)

Entry = Mapping[str, Any]
Method = dict[str, Any]
SOUP = "soup_"
"""Prefix of the names of soups."""


def choose_members(recipe: Recipe, entries: Sequence[Entry], store: Store) -> list[str]:
    """Return the names of the members of the catalog that the recipe selects.

    A recipe without backbones selects all of them, except for `backbones.exclude`. Members that are derived
    from others are selected only by name, in `runs.members`. Members that the recipe names and the store
    lacks are logged, except for those whose training failed, since that was reported.

    Raises
    ------
    StoreError
        The recipe selects no member of the store.
    """
    if recipe.runs.members is None:
        return choose_backbones(recipe, entries, store)
    return _require_some(*_by_name(recipe.runs.members, entries), entries, store)


def choose_backbones(recipe: Recipe, entries: Sequence[Entry], store: Store) -> list[str]:
    """Return the names of the members that the backbones and models of the recipe select."""
    backbones = {spec.name: spec.backbone for spec in recipe.members()}
    failed = {entry["name"]: backbones.get(entry["name"], "") for entry in failures(store)}
    trained = {entry["name"]: str(entry.get("backbone", "")) for entry in entries if "of" not in entry}
    named, missing = recipe.select(failed | trained)
    return _require_some([name for name in named if name in trained], missing, entries, store)


def _require_some(
    chosen: list[str], missing: Sequence[str], entries: Sequence[Entry], store: Store
) -> list[str]:
    """Return the chosen members, log the missing ones, and raise StoreError if none is chosen."""
    for name in missing:
        log.warning("%s is not in the store %s: it is left out", name, store)
    if not chosen:
        raise StoreError(
            str(store),
            expected="a trained member that the recipe names",
            got=", ".join(str(entry["name"]) for entry in entries) or "none",
            todo="Run: committee train RECIPE",
        )
    return chosen


def _by_name(wanted: Sequence[str], entries: Sequence[Entry]) -> tuple[list[str], list[str]]:
    """Return the members that are wanted by name or backbone, and the names that match none."""

    # Derived members are named exactly, not by the backbone of the members that they were made from.
    backbones = {str(entry["name"]): str(entry.get("backbone", "")) for entry in entries if "of" not in entry}
    derived = {str(entry["name"]) for entry in entries if "of" in entry}
    found = {each: [each] if each in derived else matches(each, backbones) for each in wanted}
    named = {name for names in found.values() for name in names}
    chosen = [str(entry["name"]) for entry in entries if str(entry["name"]) in named]
    return chosen, [each for each, names in found.items() if not names]


def choose_all(recipe: Recipe, entries: Sequence[Entry], store: Store) -> list[str]:
    """Return all members that a recipe selects, and the members that are derived from these alone.

    Views of a member are models of their own only if the recipe names them in `runs.members`.
    """
    found = choose_backbones(recipe, entries, store)
    if recipe.runs.members is not None:
        found += [name for name in _by_name(recipe.runs.members, entries)[0] if name not in found]
    left = [entry for entry in entries if entry["name"] not in found and "view" not in entry]
    while more := [entry for entry in left if "of" in entry and set(entry["of"]) <= set(found)]:
        found += [str(entry["name"]) for entry in more]
        left = [entry for entry in left if entry not in more]
    return found


def choose_deployed(recipe: Recipe, entries: Sequence[Entry], members: Iterable[str]) -> dict[str, str]:
    """Return the deployed networks of each member: `refit` or `folds`.

    The key `inference` of the recipe, for all members or for the member, takes precedence over the recipe
    that trained the member.
    """
    stored = {entry["name"]: inference_of(entry) for entry in entries}
    trainings = {spec.name: spec.training for spec in recipe.members()}
    fixed = {entry["name"] for entry in entries if "adopted" in entry or _has_no_folds(entry)}
    deployed = {}
    for name in members:
        training = trainings.get(name, recipe.training)
        # Adopted members, and those of plans without folds, have one kind of networks only.
        is_set = "inference" in training.model_fields_set and name not in fixed
        deployed[name] = training.inference if is_set else stored[name]
    return deployed


def _has_no_folds(entry: Entry) -> bool:
    return entry.get("plan", "single") != "single" and list(entry["fits"]) == ["refit"]


def is_soup(method: str | Method) -> TypeGuard[str]:
    """Return whether a method is the name of a soup."""
    return isinstance(method, str) and method.startswith(SOUP)


def choose_methods(recipe: Recipe, given: Sequence[str | Method] = ()) -> list[Method]:
    """Return the methods to build: `{"combiner": key, "name"?: name, **options}`.

    Parameters
    ----------
    recipe : Recipe
        The options metric, space and weights of `runs.score_ensemble` are the defaults of its methods.
    given : sequence of str or mapping
        Names of combiners or ensembles to build in place of the recipe's methods, or mappings as in the
        recipe. A method that is given by name and described in the recipe has the options of the recipe.

    Raises
    ------
    UnknownNameError
        A combiner does not exist.
    UsageError
        A combiner refuses the value of an option. This is checked before anything is trained.
    RecipeError
        Two ensembles would have the same name.
    """
    methods = _recipe_methods(recipe)
    chosen = _given(recipe, methods, given) if given else methods
    for method in chosen:
        combiner_of(method)
    return _require_unique(chosen, "methods" if given else "runs.score_ensemble.methods")


def combiner_of(method: Method) -> Combiner:
    """Return the unfitted combiner of a method."""
    return build_combiner({key: value for key, value in method.items() if key != "name"})


def _given(recipe: Recipe, methods: Sequence[Method], given: Sequence[str | Method]) -> list[Method]:
    known = {name: method for method in reversed(methods) for name in (method["combiner"], full_name(method))}
    return [
        known.get(each) or _method(recipe, each) if isinstance(each, str) else _described(recipe, each)
        for each in given
    ]


def _described(recipe: Recipe, mapping: Method) -> Method:
    """Return the method of a mapping, which is checked as one in a recipe."""
    try:
        found = MethodSection.model_validate(mapping)
    except ValidationError as error:
        raise recipe_error(error, Document(dict(mapping)), MethodSection) from None
    return _with_options(recipe, found)


def _with_options(recipe: Recipe, method: MethodSection) -> Method:
    named = {"name": method.name} if method.name else {}
    return {**_method(recipe, method.combiner), **named, **method.options}


def _require_unique(methods: list[Method], who: str) -> list[Method]:
    names = [full_name(method) for method in methods]
    for name in names:
        if names.count(name) > 1:
            raise RecipeError(
                who,
                expected="a different name for each ensemble",
                got=f"'{name}' twice",
                todo="Name one of them: {combiner: ..., name: ...}.",
            )
    return methods


def full_name(method: Method) -> str:
    """Return the name of the ensemble of a method: the name in the method, or that of its combiner."""
    return str(method.get("name") or COMBINERS.load(method["combiner"]).ensemble_name)


def _recipe_methods(recipe: Recipe) -> list[Method]:
    section = recipe.runs.score_ensemble
    if not section.enable:
        return []
    return [_with_options(recipe, method) for method in section.methods]


def stacks(section: Stacking) -> list[Method]:
    """Return the methods of the meta-learners in a section."""
    return [learner(section, kind) for kind in dict.fromkeys(section.meta_learners)]


def learner_key(kind: str) -> str:
    """Return the key of the combiner of a learner such as `lr`."""
    return f"stacking_{kind}" if f"stacking_{kind}" in COMBINERS.names() else kind


def learner(section: Stacking | MetaFuser, kind: str) -> Method:
    """Return the method of a learner (`lr`, `xgb`, ...) with its settings in a section."""
    key = learner_key(kind)
    config: Section | None = getattr(section, f"{kind}_config", None)
    given = {**section.model_dump(), **(config.model_dump() if config else {})}
    return {"combiner": key, **{name: given[name] for name in COMBINERS.options(key) if name in given}}


def _method(recipe: Recipe, name: str) -> Method:
    key = name if name in COMBINERS.names() else name.removesuffix("_ensemble")
    if key.startswith("stacking_"):
        return learner(recipe.runs.stacking or Stacking(), key.removeprefix("stacking_"))
    scores, options = recipe.runs.score_ensemble, COMBINERS.options(key)
    shared = {"metric": scores.optimization_metric, "space": scores.space, "weights": scores.weights}
    return {
        "combiner": key,
        **{k: value for k, value in shared.items() if k in options and value is not None},
    }

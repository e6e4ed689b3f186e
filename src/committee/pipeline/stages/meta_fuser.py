"""Meta-fuser: a learner on the outputs of ensembles, cross-fitted: an ensemble of ensembles is one again."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from committee.errors import CommitteeError, RecipeError, StoreError
from committee.pipeline.discover import MEMBERS, discover, look_through, require_store, set_aside
from committee.pipeline.shared.choose import Method, enabled, learner
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import REBUILD, ensemble_facts
from committee.pipeline.stages.score_ensemble import build_all, gather
from committee.recipe.model import Recipe
from committee.recipe.runs import MetaFuser
from committee.store.layout import Store

log = logging.getLogger(__name__)

Inputs = dict[str, tuple[Method, list[str]]]


def meta_fuse(recipe: Recipe, store: Store) -> Outcome:
    """Build the ensemble that `runs.meta_fuser` describes, on ensembles and members of the store.

    Each input is taken as the method it was built by, not as it was fitted: within each fold it is fitted
    anew without the rows that the fuser learns from. Inputs that the store lacks are set aside by name.

    Returns
    -------
    Outcome
        The name of the ensemble, and the inputs set aside, with their reasons.

    Raises
    ------
    UsageError
        The recipe has no such section.
    RecipeError
        The fuser would read itself.
    StoreError
        There are no members, or none of the inputs is there.
    """
    fuser = section_of(recipe)
    require_store(store)
    outcome = Outcome(unbuilt=recipe.unbuilt())
    with store.hold():
        catalog = discover(store)
        set_aside(catalog, outcome, needed=MEMBERS, renewed=[fuser.name])
        inputs, missing = _inputs(fuser, store)
        for name, error in missing.items():
            outcome.fail(f"{fuser.name} without {name}", error)
        members = _union(inputs, [str(entry["name"]) for entry in catalog["members"]])
        build_all([_method(fuser, inputs, members)], gather(recipe, store, catalog, members), outcome)
    return outcome


def plan_meta_fuse(recipe: Recipe, store: Store) -> dict[str, Any]:
    """Return what `meta_fuse` would do: `name`, `learner`, `inputs`, `set_aside`, `members`, `rows`, `n`."""
    fuser = section_of(recipe)
    catalog = look_through(store)
    inputs, missing = _inputs(fuser, store)
    members = _union(inputs, [str(entry["name"]) for entry in catalog["members"]])
    material = gather(recipe, store, catalog, members)
    return {
        "name": fuser.name,
        "learner": fuser.fuser_type,
        "inputs": list(inputs),
        "set_aside": {name: str(error) for name, error in missing.items()},
        "members": members,
        "rows": material.rows,
        "n": len(material.predictions),
    }


def section_of(recipe: Recipe) -> MetaFuser:
    """Return `runs.meta_fuser`, or raise UsageError where it is not enabled."""
    todo = "Write it into the recipe, or: --set runs.meta_fuser.fuser_type=lr"
    return enabled(recipe.runs.meta_fuser, "runs.meta_fuser", todo)


def _inputs(fuser: MetaFuser, store: Store) -> tuple[Inputs, dict[str, CommitteeError]]:
    """Return each input's method and the members it is for, by full name; and why others are not there."""
    found, missing = Inputs(), dict[str, CommitteeError]()
    for place, name in enumerate(dict.fromkeys(fuser.input_ensembles)):
        refuse_itself(fuser, place, name, name)
        try:
            full = store.resolve(name)
            method, members = _taken(store, full)
        except CommitteeError as error:
            missing[name] = error
            continue
        for inner in [full, *_named(method)]:
            refuse_itself(fuser, place, name, inner)
        found[full] = method, members
    if not found:
        raise StoreError(
            fuser.name,
            expected=f"one of its inputs {', '.join(fuser.input_ensembles)} in the store",
            got="none",
            todo=f"{REBUILD} RECIPE, or name others in runs.meta_fuser.input_ensembles.",
        )
    return found, missing


def refuse_itself(fuser: MetaFuser, place: int, given: str, name: str) -> None:
    """Raise RecipeError where the input `given` is, or reads by `name`, the fuser that is to be made."""
    if name == fuser.name:
        through = "" if given == name else f", which reads '{name}'"
        raise RecipeError(
            f"runs.meta_fuser.input_ensembles[{place}]",
            expected=f"ensembles other than {fuser.name} itself",
            got=f"'{given}'{through}",
            todo="Remove it, or give the new one another runs.meta_fuser.name.",
        )


def _taken(store: Store, name: str) -> tuple[Method, list[str]]:
    """Return the method that makes a stored ensemble, or that stands for a member, and its members."""
    if name not in store.ensembles():
        return {"combiner": "subset", "members": [name]}, [name]
    facts = ensemble_facts(store, name)
    if "spec" not in facts:
        raise StoreError(name, expected="the method it was built by", got="none", todo=f"{REBUILD} RECIPE")
    return dict(facts["spec"]), list(facts["candidates"])


def _named(method: Mapping[str, Any]) -> Iterator[str]:
    """Return the names of the inputs of a method, and of those inside them."""
    for key, value in method.items():
        if isinstance(value, Mapping):
            if key == "inputs":
                yield from map(str, value)
            yield from _named(value)


def _union(inputs: Inputs, there: Sequence[str]) -> list[str]:
    wanted = {member for _, members in inputs.values() for member in members}
    return [name for name in there if name in wanted]


def _method(fuser: MetaFuser, inputs: Inputs, members: Sequence[str]) -> Method:
    """Return the composite: each input among its own members, and the learner on what they say."""
    parts = {
        name: method if own == list(members) else {"combiner": "subset", "members": own, "inner": method}
        for name, (method, own) in inputs.items()
    }
    final = learner(fuser, fuser.fuser_type)
    return {"combiner": "compose", "name": fuser.name, "inputs": parts, "final": final}

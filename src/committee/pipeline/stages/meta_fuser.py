"""The stage that trains a learner on the outputs of ensembles."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from committee.errors import CommitteeError, RecipeError, StoreError
from committee.pipeline.discover import MEMBERS, discover, look_through, require_store, set_aside
from committee.pipeline.shared.build import build, build_all, gather
from committee.pipeline.shared.choose import Method, choose_methods, learner
from committee.pipeline.shared.for_task import for_store
from committee.pipeline.shared.functions import check_functions
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import REBUILD, ensemble_facts
from committee.pipeline.shared.splits import rows_in_words
from committee.pipeline.shared.summary import Summary
from committee.pipeline.stages.base import Names, Stage, Verbs, enabled
from committee.recipe.model import Recipe
from committee.recipe.runs import MetaFuser as Section
from committee.store.layout import Store

log = logging.getLogger(__name__)

Inputs = dict[str, tuple[Method, list[str]]]
FAST_INPUTS = ("soft_voting", "logit_averaging")
"""The inputs in a fast debug run."""


class MetaFuser(Stage):
    """Train a meta-fuser: a learner on the outputs of ensembles.

    The result is an ensemble again. Its inputs are the ensembles and members of the store that
    runs.meta_fuser.input_ensembles names. Each is fitted again within each fold, so that the learner is
    trained only on outputs for rows that no fit saw. Inputs that the store lacks are reported by name, and
    the exit code is 3. A member that several inputs share runs once.

    See Also
    --------
    committee.combiners.compose.Compose : The combiner of combiners that it builds.

    Examples
    --------
    >>> from committee.pipeline.stages.meta_fuser import MetaFuser
    >>> from committee.recipe.load import load_recipe
    >>> MetaFuser().names(load_recipe(None, ["runs.meta_fuser.fuser_type=lr"])).ensembles
    ('meta_fuser',)
    """

    sections = ("runs.meta_fuser",)
    order = 80
    verbs: ClassVar[Verbs] = {"meta-fuse": {}}
    debug = "meta_fuse"
    todo = "Add the section to the recipe, or: --set runs.meta_fuser.fuser_type=lr"

    def sample(self, recipe: Recipe, fast: bool) -> Recipe:
        """Return the recipe with its fuser; a fast run has two ensembles as inputs."""
        inputs = {"input_ensembles": list(FAST_INPUTS)} if fast else {}
        return enabled(recipe, self.sections[0], **inputs)

    def names(self, recipe: Recipe) -> Names:
        """Return the name of the fuser."""
        section = self.section(recipe)
        for place, given in enumerate(section.input_ensembles):
            refuse_itself(section, place, given, given)
        return Names(ensembles=(section.name,))

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the inputs and rows on which the learner would be trained."""
        recipe = for_store(recipe, store)
        section = self.section(recipe)
        catalog = look_through(store)
        inputs, missing = _inputs(section, store, recipe)
        members = _union(inputs, [str(entry["name"]) for entry in catalog["members"]])
        context = gather(recipe, store, catalog, members)
        facts = {
            "name": section.name,
            "learner": section.fuser_type,
            "inputs": list(inputs),
            "set_aside": {name: str(error) for name, error in missing.items()},
            "members": members,
            "rows": context.rows,
            "n": len(context.predictions),
        }
        text = (
            f"{section.name} would train {section.fuser_type} on {', '.join(inputs)}: "
            f"{rows_in_words(context.predictions, context.rows)}; no network is run."
        )
        return Summary(facts, [text, *(f"Without {name}: {error}" for name, error in missing.items())])

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Build the meta-fuser.

        Each input is the method of a stored ensemble. Within each fold it is fitted again, without the rows
        on which the learner is trained.

        Returns
        -------
        Outcome
            The name of the ensemble, and the inputs that are missing, with their reasons.

        Raises
        ------
        UsageError
            The recipe does not enable the section.
        RecipeError
            The fuser would be an input of itself.
        StoreError
            The store has no members, or none of the inputs.
        """
        recipe = for_store(recipe, store)
        section = self.section(recipe)
        require_store(store)
        outcome = Outcome()
        with store.hold():
            catalog = discover(store)
            set_aside(catalog, outcome, needed=MEMBERS, renewed=[section.name])
            inputs, missing = _inputs(section, store, recipe)
            for name, error in missing.items():
                outcome.fail(f"{section.name} without {name}", error)
            members = _union(inputs, [str(entry["name"]) for entry in catalog["members"]])
            build_all([_method(section, inputs, members)], gather(recipe, store, catalog, members), outcome)
        return outcome

    def rehearse(self, recipe: Recipe, store: Store) -> Outcome:
        """Build two inputs if the store has none of those in the recipe, and then the fuser."""
        section = self.section(recipe)
        if not any(_is_stored(name, store) for name in section.input_ensembles):
            build(choose_methods(recipe, FAST_INPUTS), recipe, store)
            recipe = enabled(recipe, self.sections[0], input_ensembles=list(FAST_INPUTS))
        return self.run(recipe, store)


def _is_stored(name: str, store: Store) -> bool:
    try:
        return bool(store.resolve(name))
    except CommitteeError:
        return False


def _inputs(fuser: Section, store: Store, recipe: Recipe) -> tuple[Inputs, dict[str, CommitteeError]]:
    """Return the method and members of each input, by full name, and the errors of missing inputs."""
    found, missing = Inputs(), dict[str, CommitteeError]()
    for place, name in enumerate(dict.fromkeys(fuser.input_ensembles)):
        refuse_itself(fuser, place, name, name)
        try:
            full = store.resolve(name)
            method, members = _method_and_members(store, full)
            check_functions(method, recipe, full)
        except CommitteeError as error:
            missing[name] = error
            continue
        for inner in [full, *_input_names(method)]:
            refuse_itself(fuser, place, name, inner)
        found[full] = method, members
    if not found:
        raise StoreError(
            fuser.name,
            expected=f"at least one of the inputs {', '.join(fuser.input_ensembles)} in the store",
            got="none",
            todo=f"{REBUILD} RECIPE, or name others in runs.meta_fuser.input_ensembles.",
        )
    return found, missing


def refuse_itself(fuser: Section, place: int, given: str, name: str) -> None:
    """Raise RecipeError if the input `given`, or `name` within it, is the fuser itself."""
    if name == fuser.name:
        through = "" if given == name else f", which has the input '{name}'"
        raise RecipeError(
            f"runs.meta_fuser.input_ensembles[{place}]",
            expected=f"ensembles other than {fuser.name} itself",
            got=f"'{given}'{through}",
            todo="Remove it, or set another runs.meta_fuser.name.",
        )


def _method_and_members(store: Store, name: str) -> tuple[Method, list[str]]:
    """Return the method of a stored ensemble, or one that selects a member, and its members."""
    if name not in store.ensembles():
        return {"combiner": "subset", "members": [name]}, [name]
    facts = ensemble_facts(store, name)
    if "spec" not in facts:
        raise StoreError(name, expected="a record of the method", got="none", todo=f"{REBUILD} RECIPE")
    return dict(facts["spec"]), list(facts["candidates"])


def _input_names(method: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the inputs of a method, including nested ones."""
    for key, value in method.items():
        if isinstance(value, Mapping):
            if key == "inputs":
                yield from map(str, value)
            yield from _input_names(value)


def _union(inputs: Inputs, stored: Sequence[str]) -> list[str]:
    wanted = {member for _, members in inputs.values() for member in members}
    return [name for name in stored if name in wanted]


def _method(fuser: Section, inputs: Inputs, members: Sequence[str]) -> Method:
    """Return the composition of the inputs, each on its own members, and of the learner on their outputs."""
    parts = {
        name: method if its == list(members) else {"combiner": "subset", "members": its, "inner": method}
        for name, (method, its) in inputs.items()
    }
    final = learner(fuser, fuser.fuser_type)
    return {"combiner": "compose", "name": fuser.name, "inputs": parts, "final": final}

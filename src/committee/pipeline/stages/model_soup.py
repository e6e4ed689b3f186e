"""The stage that averages the weights of stored networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from committee.errors import StoreError, UnknownNameError, nearest
from committee.pipeline.discover import Catalog, discover, look_through, require_store
from committee.pipeline.shared.choose import SOUP, Method, choose_backbones, is_soup
from committee.pipeline.shared.derived_members import open_context
from committee.pipeline.shared.fits import fit_plans
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import is_single_network
from committee.pipeline.shared.summary import Summary, Table
from committee.pipeline.stages.base import Names, Stage, Verbs, enabled
from committee.recipe.members import slug
from committee.recipe.model import Recipe
from committee.recipe.runs import ModelSoup as Section
from committee.store.layout import Store
from committee.training.plans.soup import SoupPlan
from committee.training.soups.base import SOUPS

Group = tuple[str, list[str]]
FAST = {"methods": ["uniform"], "over": ["members", "folds"], "num_batches": 2, "barrier": 100.0}
"""The section in a fast debug run; the barrier is high, since averages after one epoch are often poor."""


class ModelSoup(Stage):
    """Average the weights of networks of the store: of members, of snapshots, or of the folds of a member.

    Parameters
    ----------
    methods : sequence of str
        Soups to make in place of the recipe's, by name or as `soup_<method>`; other names are ignored.

    References
    ----------
    Wortsman et al., "Model soups", 2022 (arXiv 2203.05482).

    See Also
    --------
    committee.training.plans.soup.SoupPlan : How one soup is made.

    Examples
    --------
    >>> from committee.pipeline.stages.model_soup import ModelSoup
    >>> from committee.recipe.load import load_recipe
    >>> ModelSoup(["soup_uniform"]).is_wanted(load_recipe(None, []))
    True
    """

    sections = ("runs.model_soup",)
    order = 20
    verbs: ClassVar[Verbs] = {"build-ensemble": {}}
    debug = "soups"
    todo = "Name a soup: --method soup_uniform"

    def __init__(self, methods: Sequence[str | Method] = ()) -> None:
        self.methods = tuple(methods)

    def is_wanted(self, recipe: Recipe) -> bool:
        """Return whether the section, or a method that was given, asks for a soup."""
        return any(map(is_soup, self.methods)) if self.methods else super().is_wanted(recipe)

    def sample(self, recipe: Recipe, fast: bool) -> Recipe:
        """Return the recipe with its soups; a fast run has uniform soups without a check of the barrier."""
        return enabled(recipe, self.sections[0], **(FAST if fast else {}))

    def names(self, recipe: Recipe) -> Names:
        """Return no names, since those of soups depend on the members of the store."""
        return Names()

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the members that each soup would average."""
        section, catalog = self._section(recipe), look_through(store)
        groups = soup_groups(section, recipe, store, catalog)
        soups = {name: members for name, (_, members) in _planned(section, groups, self.methods).items()}
        rows = [[name, ", ".join(members)] for name, members in soups.items()]
        return Summary({"soups": soups}, [Table("Weights that would be averaged", ["soup", "of"], rows)])

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Make the soups.

        Raises
        ------
        StoreError
            The store has no members.
        UnknownNameError
            A soup that was given does not exist.
        """
        section = self._section(recipe)
        require_store(store)
        outcome = Outcome()
        with store.hold():
            catalog = discover(store)
            groups = soup_groups(section, recipe, store, catalog)
            if not groups:
                outcome.fail("runs.model_soup", _nothing_to_average())
                return outcome
            planned = _planned(section, groups, self.methods)
            members = [member for _, of in planned.values() for member in of]
            context = open_context(recipe, store, catalog, members)
            plans = [
                SoupPlan(name, kind, context.inputs(members), section)
                for name, (kind, members) in planned.items()
            ]
            fit_plans(plans, store, recipe.workers, outcome)
            discover(store)
        return outcome

    def _section(self, recipe: Recipe) -> Section:
        return (recipe.runs.model_soup or Section()) if self.methods else self.section(recipe)


def soup_groups(section: Section, recipe: Recipe, store: Store, catalog: Catalog) -> list[Group]:
    """Return the name and members of each group to average; a single member stands for its folds."""
    entries = {str(entry["name"]): entry for entry in catalog["members"]}
    members = choose_backbones(recipe, catalog["members"], store)
    single = [name for name in members if is_single_network(store, name)]
    groups = {
        "members": lambda: _members(single, entries),
        "snapshots": lambda: _snapshots(members, entries),
        "folds": lambda: _folds(single, entries),
    }
    return [group for kind in section.over for group in groups[kind]()]


def _planned(
    section: Section, groups: Sequence[Group], methods: Sequence[str | Method]
) -> dict[str, tuple[str, list[str]]]:
    """Return the method and members of each soup, by name.

    Raises
    ------
    UnknownNameError
        A soup does not exist.
    """
    every = {f"{SOUP}{kind}_{name}": (kind, members) for kind in SOUPS.names() for name, members in groups}
    wanted = list(filter(is_soup, methods)) or [f"{SOUP}{kind}" for kind in section.methods]
    chosen: dict[str, tuple[str, list[str]]] = {}
    for each in dict.fromkeys(wanted):
        found = {name: soup for name, soup in every.items() if each in (name, f"{SOUP}{soup[0]}")}
        if not found:
            raise UnknownNameError(
                "soup",
                expected=f"one of {', '.join(every)}",
                got=f"'{each}'",
                todo=nearest(each, list(every)),
            )
        chosen |= found
    return chosen


def _nothing_to_average() -> StoreError:
    return StoreError(
        "runs.model_soup",
        expected="networks of one backbone, snapshots of a run, or folds of a member",
        got="none of these",
        todo="Train with folds, with seeds, or with runs.snapshot_ensemble.",
    )


def _members(members: Sequence[str], entries: dict[str, Any]) -> Iterator[Group]:
    """Yield groups of single networks with the same backbone and image size."""
    alike: dict[tuple[str, Any], list[str]] = {}
    for name in members:
        entry = entries[name]
        alike.setdefault((str(entry["backbone"]), entry.get("img_size")), []).append(name)
    for (backbone, _), names in alike.items():
        if len(names) > 1:
            name = slug(backbone)
            yield (f"{name}_members" if name in entries else name), names


def _snapshots(members: Sequence[str], entries: dict[str, Any]) -> Iterator[Group]:
    """Yield the snapshots of each training run."""
    for name, entry in entries.items():
        parts = [each for each, its in entries.items() if its.get("of") == [name]]
        if (
            entry.get("plan") == "snapshot"
            and len(parts) > 1
            and (name in members or set(entry.get("of", ())) & set(members))
        ):
            yield name, parts


def _folds(members: Sequence[str], entries: dict[str, Any]) -> Iterator[Group]:
    """Yield each member that has several fold networks."""
    for name in members:
        if sum(fold != "refit" for fold in entries[name]["fits"]) > 1:
            yield name, [name]

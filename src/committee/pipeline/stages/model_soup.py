"""The stage that averages the weights of stored networks."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from committee.errors import StoreError, UnknownNameError, UsageError, nearest
from committee.images.record import load_record
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
from committee.training.plans.base import PLANS
from committee.training.plans.soup import SoupPlan
from committee.training.soups.base import SOUPS

log = logging.getLogger(__name__)

Group = tuple[str, list[str]]
Entries = dict[str, Any]
SEEN = "there are no rows that none of the networks was trained on, by which to choose among them"
TODO = "Set dataset.val_size=0.1 before the first training of a store, or make the uniform soup."
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
    optional = True
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
        """Return the names of the soups of the members that the recipe trains.

        Raises
        ------
        UsageError
            All soups of the section would choose networks by their losses, on rows that do not exist.
        """
        entries = {} if self.methods else _foreseen(recipe)
        if not entries:
            return Names()
        section = self.section(recipe)
        single = [name for name, entry in entries.items() if entry["single"]]
        groups = _groups(section, [name for name in entries if "of" not in entries[name]], single, entries)
        if not groups:
            return Names(left_out=(str(_nothing_to_average()),))
        plan = _Plan(section, groups, (), entries, has_val(recipe))
        if plan.left_out and not plan.soups:
            raise _cannot_choose("runs.model_soup")
        return Names(members=tuple(plan.soups), left_out=tuple(plan.reasons()))

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the members that each soup would average."""
        section, catalog = self._section(recipe), look_through(store)
        groups = soup_groups(section, recipe, store, catalog)
        plan = _Plan(section, groups, self.methods, _by_name(catalog), _stored_val(store))
        soups = {name: members for name, (_, members) in plan.soups.items()}
        rows = [[name, ", ".join(members)] for name, members in soups.items()]
        table = Table("Weights that would be averaged", ["soup", "of"], rows)
        return Summary({"soups": soups, "left_out": plan.left_out}, [table, *plan.reasons()])

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
            plan = _Plan(section, groups, self.methods, _by_name(catalog), _stored_val(store))
            for text in plan.reasons():
                log.warning("%s", text)
            if not plan.soups:
                outcome.fail("runs.model_soup", _cannot_choose("runs.model_soup"))
                return outcome
            members = [member for _, of in plan.soups.values() for member in of]
            context = open_context(recipe, store, catalog, members)
            plans = [
                SoupPlan(name, kind, context.inputs(members), section)
                for name, (kind, members) in plan.soups.items()
            ]
            fit_plans(plans, store, recipe.make_executor(), outcome)
            discover(store)
        return outcome

    def _section(self, recipe: Recipe) -> Section:
        return (recipe.runs.model_soup or Section()) if self.methods else self.section(recipe)


def has_val(recipe: Recipe) -> bool:
    """Return whether the data set of a recipe may have a val split."""
    data = recipe.dataset
    return data.val_size is not None or data.val == "apart" or not recipe.training.folds


def _stored_val(store: Store) -> bool:
    """Return whether the data set of a store has a val split."""
    record = load_record(store)
    return record is not None and "val" in record.splits


def soup_groups(section: Section, recipe: Recipe, store: Store, catalog: Catalog) -> list[Group]:
    """Return the name and members of each group to average; a single member stands for its folds."""
    members = choose_backbones(recipe, catalog["members"], store)
    single = [name for name in members if is_single_network(store, name)]
    return _groups(section, members, single, _by_name(catalog))


def _groups(section: Section, members: Sequence[str], single: Sequence[str], entries: Entries) -> list[Group]:
    groups = {
        "members": lambda: _members([name for name in members if name in single], entries),
        "snapshots": lambda: _snapshots(members, entries),
        "folds": lambda: _folds([name for name in members if name in single], entries),
    }
    return [group for kind in section.over for group in groups[kind]()]


def _by_name(catalog: Catalog) -> Entries:
    return {str(entry["name"]): entry for entry in catalog["members"]}


def _foreseen(recipe: Recipe) -> Entries:
    """Return the entries that the catalog will have of the members that a recipe trains."""
    entries: Entries = {}
    snapshots = recipe.runs.snapshot_ensemble
    for spec in recipe.members():
        plan = str(spec.training.plan.name)
        fits = [f"fold_{k}" for k in range(spec.training.folds)]
        single = PLANS.constants(plan).get("single_network", True)
        entry = {"backbone": spec.backbone, "img_size": spec.img_size, "fits": fits, "plan": plan}
        entries[spec.name] = {**entry, "single": single}
        if snapshots is not None and snapshots.enable:
            name = f"snapshot_{spec.name}"
            entries[name] = {**entry, "plan": "snapshot", "of": [spec.name], "single": False}
    for name in [name for name, entry in entries.items() if entry["plan"] == "snapshot"]:
        part = {**entries[name], "plan": "", "of": [name]}
        entries |= {f"{name}_{number}": part for number in (1, 2)}
    return entries


class _Plan:
    """The soups of a section, and those that cannot be made.

    A soup that chooses networks by their losses needs a val split, or members with fold networks: the fold
    networks of a single member have together seen all rows. It is left out, unless it was given by its name.

    Attributes
    ----------
    soups : dict
        Name -> method and members.
    left_out : list of str
        Names of the soups that cannot be made.

    Raises
    ------
    UnknownNameError
        A soup that was given does not exist.
    """

    def __init__(
        self,
        section: Section,
        groups: Sequence[Group],
        methods: Sequence[str | Method],
        entries: Entries,
        val: bool,
    ) -> None:
        soups = _planned(section, groups, methods)
        self.left_out = [
            name
            for name, (kind, members) in soups.items()
            if SOUPS.load(kind).needs_validation
            and not val
            and (len(members) == 1 or "fold_0" not in entries[members[0]]["fits"])
            and name not in methods
        ]
        self.soups = {name: soup for name, soup in soups.items() if name not in self.left_out}

    def reasons(self) -> list[str]:
        """Return one sentence with the soups that are left out, or nothing."""
        if not self.left_out:
            return []
        verb = "is" if len(self.left_out) == 1 else "are"
        return [f"{', '.join(self.left_out)} {verb} left out: {SEEN}. {TODO}"]


def _cannot_choose(who: str) -> UsageError:
    return UsageError(who, expected="a val split", got=f"none, and {SEEN}", todo=TODO)


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


def _members(members: Sequence[str], entries: Entries) -> Iterator[Group]:
    """Yield groups of single networks with the same backbone and image size."""
    alike: dict[tuple[str, Any], list[str]] = {}
    for name in members:
        entry = entries[name]
        alike.setdefault((str(entry["backbone"]), entry.get("img_size")), []).append(name)
    for (backbone, _), names in alike.items():
        if len(names) > 1:
            name = slug(backbone)
            yield (f"{name}_members" if name in entries else name), names


def _snapshots(members: Sequence[str], entries: Entries) -> Iterator[Group]:
    """Yield the snapshots of each training run."""
    for name, entry in entries.items():
        parts = [each for each, its in entries.items() if its.get("of") == [name] and "view" not in its]
        if (
            entry.get("plan") == "snapshot"
            and len(parts) > 1
            and (name in members or set(entry.get("of", ())) & set(members))
        ):
            yield name, parts


def _folds(members: Sequence[str], entries: Entries) -> Iterator[Group]:
    """Yield each member that has several fold networks."""
    for name in members:
        if sum(fold != "refit" for fold in entries[name]["fits"]) > 1:
            yield name, [name]

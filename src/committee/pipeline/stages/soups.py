"""Soups: one network out of several of the store, for each group of them that the recipe means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from committee.errors import StoreError, UnknownNameError, nearest
from committee.pipeline.discover import Catalog, discover
from committee.pipeline.shared.choose import choose_backbones
from committee.pipeline.shared.derived_members import carry_out, open_bench
from committee.pipeline.shared.outcome import Outcome
from committee.recipe.members import slug
from committee.recipe.model import Recipe
from committee.recipe.runs import ModelSoup
from committee.store.layout import Store
from committee.training.plans.soup import SoupPlan
from committee.training.soups.base import SOUPS

PREFIX = "soup_"

Group = tuple[str, list[str]]


def is_soup(method: str) -> bool:
    """Return whether a method's name is that of a soup."""
    return method.startswith(PREFIX)


def wants_soups(recipe: Recipe, methods: Sequence[str] = ()) -> ModelSoup | None:
    """Return the section where soups are to be made: by the recipe, or by name."""
    section = recipe.runs.model_soup
    if methods:
        return (section or ModelSoup()) if any(map(is_soup, methods)) else None
    return section if section is not None and section.enable else None


def soup_groups(section: ModelSoup, recipe: Recipe, store: Store, catalog: Catalog) -> list[Group]:
    """Return each group of networks that is averaged: its name, and the members; of one, its folds."""
    entries = {str(entry["name"]): entry for entry in catalog["members"]}
    members = choose_backbones(recipe, catalog["members"], store)
    makers = {"members": _members, "snapshots": _snapshots, "folds": _folds}
    return [group for kind in section.over for group in makers[kind](members, entries)]


def build_soups(
    section: ModelSoup,
    recipe: Recipe,
    store: Store,
    catalog: Catalog,
    outcome: Outcome,
    methods: Sequence[str] = (),
) -> None:
    """Make the soups that a recipe asks for, or those of some `methods`, by name or by `soup_<method>`."""
    groups = soup_groups(section, recipe, store, catalog)
    if not groups:
        outcome.fail("runs.model_soup", _nothing_to_average())
        return
    bench = open_bench(recipe, store, catalog)
    plans = [
        SoupPlan(name, kind, bench.inputs(members), section)
        for name, (kind, members) in _planned(section, groups, methods).items()
    ]
    carry_out(plans, bench, outcome)


def make_soups(recipe: Recipe, store: Store) -> Outcome:
    """Make all soups that a recipe asks for, on members of the store.

    Raises
    ------
    StoreError
        There are no members.
    """
    outcome = Outcome(unbuilt=recipe.unbuilt())
    with store.hold():
        build_soups(recipe.runs.model_soup or ModelSoup(), recipe, store, discover(store), outcome)
    return outcome


def plan_soups(
    section: ModelSoup, recipe: Recipe, store: Store, catalog: Catalog, methods: Sequence[str]
) -> dict[str, list[str]]:
    """Return soup -> its members, of those that `build_soups` would make."""
    groups = soup_groups(section, recipe, store, catalog)
    return {name: members for name, (_, members) in _planned(section, groups, methods).items()}


def _planned(
    section: ModelSoup, groups: Sequence[Group], methods: Sequence[str]
) -> dict[str, tuple[str, list[str]]]:
    """Return name -> kind and members of each soup.

    Raises
    ------
    UnknownNameError
        Something is named that no soup is.
    """
    every = {f"{PREFIX}{kind}_{name}": (kind, members) for kind in SOUPS.names() for name, members in groups}
    wanted = list(filter(is_soup, methods)) or [f"{PREFIX}{kind}" for kind in section.methods]
    chosen: dict[str, tuple[str, list[str]]] = {}
    for each in dict.fromkeys(wanted):
        found = {name: soup for name, soup in every.items() if each in (name, f"{PREFIX}{soup[0]}")}
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
    """Return members of one backbone and size, where there are several."""
    alike: dict[tuple[str, Any], list[str]] = {}
    for name in members:
        entry = entries[name]
        if entry.get("plan", "single") in ("single", "averaging") or "adopted" in entry:
            alike.setdefault((str(entry["backbone"]), entry.get("img_size")), []).append(name)
    for (backbone, _), names in alike.items():
        if len(names) > 1:
            name = slug(backbone)
            yield (f"{name}_members" if name in entries else name), names


def _snapshots(members: Sequence[str], entries: dict[str, Any]) -> Iterator[Group]:
    """Return the snapshots of each run."""
    for name, entry in entries.items():
        parts = [each for each, its in entries.items() if its.get("of") == [name]]
        if (
            entry.get("plan") == "snapshot"
            and len(parts) > 1
            and (name in members or set(entry.get("of", ())) & set(members))
        ):
            yield name, parts


def _folds(members: Sequence[str], entries: dict[str, Any]) -> Iterator[Group]:
    """Return members that have fold networks."""
    for name in members:
        folds = [fold for fold in entries[name]["fits"] if fold != "refit"]
        if len(folds) > 1 and entries[name].get("plan", "single") in ("single", "averaging"):
            yield name, [name]

"""Shared code of stages that derive new members from stored ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from committee.base.devices import resolve as resolve_device
from committee.images.dataset import Dataset, open_dataset
from committee.images.record import load_record
from committee.images.view import canvas_size
from committee.pipeline.discover import Catalog
from committee.pipeline.shared.fits import fit_all
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import member_source
from committee.recipe.model import Recipe
from committee.store.layout import Store
from committee.training.plans._derived import Inputs
from committee.training.plans.base import Plan

log = logging.getLogger(__name__)

Entry = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Bench:
    """What plans on stored members need.

    Attributes
    ----------
    recipe : Recipe
    store : Store
        Held by this process.
    entries : mapping of str to mapping
        Member -> what the catalog says of it.
    dataset : Dataset
        The store's.
    device : torch.device
    """

    recipe: Recipe
    store: Store
    entries: Mapping[str, Entry]
    dataset: Dataset
    device: torch.device

    def sources(self, members: Sequence[str]) -> dict[str, str]:
        """Return member -> digest of what made its networks."""
        return {name: member_source(self.store, name) for name in members}

    def inputs(self, members: Sequence[str], inference: str | None = None) -> Inputs:
        """Return what a plan on stored members is given; `inference` is by default the first member's."""
        first = self.entries[members[0]]
        return Inputs(
            members=members,
            facts=self.entries,
            sources=self.sources(members),
            dataset=self.dataset,
            store=self.store,
            device=self.device,
            inference=inference or str(first.get("inference", "refit")),
            batch_size=self.recipe.dataset.batch_size,
            seed=self.recipe.seed,
        )


def open_bench(recipe: Recipe, store: Store, catalog: Catalog) -> Bench:
    """Open the data set of a store that has trained members, as they saw it.

    Raises
    ------
    DataError, StoreError
        It cannot be read any more.
    """
    entries = {str(entry["name"]): entry for entry in catalog["members"]}
    sizes = [int(entry["img_size"]) for entry in entries.values() if "img_size" in entry]
    settings, record = recipe.dataset, load_record(store)
    size = max(sizes, default=settings.img_size)
    folds = max(record.folds) + 1 if record else recipe.training.folds
    dataset = open_dataset(
        settings, store, canvas_size=canvas_size(size, settings.fit), folds=folds, seed=recipe.seed
    )
    return Bench(recipe, store, entries, dataset, resolve_device(recipe.device))


def carry_out(plans: Sequence[Plan], bench: Bench, outcome: Outcome) -> None:
    """Cross-fit plans; one that fails is named in the outcome, and the others go on."""
    if plans:
        fit_all(plans, bench.store, bench.recipe.workers, outcome)

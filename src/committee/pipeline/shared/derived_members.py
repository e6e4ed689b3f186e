"""Shared code of stages that derive new members from stored ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from committee.base.devices import resolve as resolve_device
from committee.images.dataset import Dataset, open_dataset
from committee.images.record import load_record
from committee.images.view import canvas_size
from committee.pipeline.discover import Catalog
from committee.pipeline.shared.records import member_source
from committee.recipe.model import Recipe
from committee.store.layout import Store
from committee.training.plans.base import Inputs

Entry = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class DerivedContext:
    """Store, data set and settings of the plans that derive members from stored ones.

    Attributes
    ----------
    recipe : Recipe
    store : Store
        The store, locked by this process.
    entries : mapping of str to mapping
        Member -> its entry in the catalog.
    dataset : Dataset
        The data set of the store.
    device : torch.device
    """

    recipe: Recipe
    store: Store
    entries: Mapping[str, Entry]
    dataset: Dataset
    device: torch.device

    def sources(self, members: Sequence[str]) -> dict[str, str]:
        """Return the digest of the networks of each member; see `member_source`."""
        return {name: member_source(self.store, name) for name in members}

    def inputs(self, members: Sequence[str], inference: str | None = None) -> Inputs:
        """Return the inputs of a plan on stored members; `inference` defaults to that of the first member."""
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
            trusted=self.recipe.trusted_backbones(),
        )


def open_context(recipe: Recipe, store: Store, catalog: Catalog) -> DerivedContext:
    """Open the data set of a store, at the largest image size of its members.

    Raises
    ------
    DataError, StoreError
        The data set cannot be read.
    """
    entries = {str(entry["name"]): entry for entry in catalog["members"]}
    sizes = [int(entry["img_size"]) for entry in entries.values() if "img_size" in entry]
    settings, record = recipe.dataset, load_record(store)
    size = max(sizes, default=settings.img_size)
    folds = max(record.folds) + 1 if record else recipe.training.folds
    dataset = open_dataset(
        settings, store, canvas_size=canvas_size(size, settings.fit), folds=folds, seed=recipe.seed
    )
    return DerivedContext(recipe, store, entries, dataset, resolve_device(recipe.device))

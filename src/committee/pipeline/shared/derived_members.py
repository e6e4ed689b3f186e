"""Shared code of stages that derive new members from stored ones."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from committee.base.devices import resolve as resolve_device
from committee.errors import CommitteeError
from committee.images.dataset import Dataset, open_dataset
from committee.images.record import load_record
from committee.images.view import CanvasSpec
from committee.models.ensemble import views_of
from committee.pipeline.discover import Catalog
from committee.pipeline.shared.records import inference_of, member_source
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
            inference=inference or inference_of(first),
            batch_size=self.recipe.dataset.batch_size,
            seed=self.recipe.seed,
            trusted=self.recipe.trusted_backbones(),
        )


def open_context(
    recipe: Recipe,
    store: Store,
    catalog: Catalog,
    members: Sequence[str],
    img_sizes: Collection[int] = (),
) -> DerivedContext:
    """Open the data set of a store with the canvases of stored members, and of new networks of `img_sizes`.

    Raises
    ------
    DataError, StoreError
        The data set cannot be read.
    """
    entries = {str(entry["name"]): entry for entry in catalog["members"]}
    record = load_record(store)
    folds = max(record.folds) + 1 if record else recipe.training.folds
    dataset = open_dataset(
        recipe.dataset,
        store,
        img_sizes=img_sizes,
        canvases=stored_canvases(store, members),
        folds=folds,
        seed=recipe.seed,
    )
    return DerivedContext(recipe, store, entries, dataset, resolve_device(recipe.device))


def stored_canvases(store: Store, members: Iterable[str]) -> list[CanvasSpec]:
    """Return the canvases that the networks of stored members read; damaged members are left out."""
    found: dict[CanvasSpec, None] = {}
    for name in members:
        with contextlib.suppress(CommitteeError):
            # All fits of a member have the same preprocessing.
            views = views_of(store.checkpoint(name, store.folds(name)[-1]))
            found.update(dict.fromkeys(view.canvas for view in views))
    return list(found)

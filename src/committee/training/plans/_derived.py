"""Base of the plans that derive a new member from members of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from committee.images.dataset import Dataset
from committee.store.layout import Store
from committee.training.plans.base import Plan


@dataclass(frozen=True, eq=False)
class Inputs:
    """Stored members, and what else a plan needs to derive a new member from them.

    Attributes
    ----------
    members : sequence of str
        Names of the members, in the order in which the plan uses them.
    facts : mapping of str to mapping
        Member -> its entry in the catalog of the store: backbone, seed, image size, fits, ...
    sources : mapping of str to str
        Member -> digest of what its networks were made from.
    dataset : Dataset
    store : Store
        The store that holds the members.
    device : torch.device
    inference : "refit" or "folds"
        Which networks of the members are deployed.
    batch_size : int
        Images in a batch.
    seed : int
        Seed of the recipe.
    """

    members: Sequence[str]
    facts: Mapping[str, Mapping[str, Any]]
    sources: Mapping[str, str]
    dataset: Dataset
    store: Store
    device: torch.device
    inference: str = "refit"
    batch_size: int = 32
    seed: int = 0

    def dealt_folds(self) -> int:
        """Return the number of folds of the data set."""
        return int(self.dataset.folds.max()) + 1

    def have_folds(self) -> bool:
        """Return whether every member has a network for each fold."""
        return all("fold_0" in self.store.folds(member) for member in self.members)


class Derived(Plan):
    """A plan that derives a new member from stored members.

    Parameters
    ----------
    name : str
        Name of the new member.
    inputs : Inputs

    See Also
    --------
    SoupPlan, FusionPlan, MoePlan : The plans that derive members.
    """

    derives = True

    def __init__(self, name: str, inputs: Inputs) -> None:
        super().__init__(inputs.dataset, inputs.store, inputs.device)
        self.name, self.inputs = name, inputs
        self.members = list(inputs.members)
        self.inference, self.batch_size, self.seed = inputs.inference, inputs.batch_size, inputs.seed

"""Base classes of plans, which turn training rows into members."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.base.registry import Family
from committee.images.dataset import Dataset
from committee.models.composites.base import Composite
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.moments import with_variance
from committee.store.layout import Store
from committee.training.fit.batches import Rows
from committee.training.fit.predict import logits_of

Stored = Member | Ensemble | Composite
"""A module that a plan makes: it maps images to logits, and has `class_names`, `provenance` and `save`."""


class Plan(ABC):
    """Turns training rows into a member, or into several members of one run.

    `CrossFit` runs a plan on the training rows of each fold, and then on all rows. Entries of the family are
    files of this folder. A plan either trains a backbone (`training.plan` of the recipe names it), or derives
    a member from stored members (its class states the section of `runs` that asks for it).

    Parameters
    ----------
    dataset : Dataset
    store : Store
        Keeps the state of unfinished fits.
    device : torch.device

    Attributes
    ----------
    name : str
        Name of the member.
    others : tuple of str
        Names of further members of the same run.
    folds : int
        Number of folds of the cross-fit; 0 trains on all rows only.
    inference : "refit" or "folds"
        Which networks are deployed.
    epochs : int or None
        Number of epochs of every fit; None if each fit chooses it by its rows. For a boosted series, the
        number of stages.
    batch_size : int
        Images in a batch of a prediction.
    networks : int
        Largest number of networks that a fit trains.
    stacked : bool
        Whether fits whose networks have one architecture are made in lockstep; `crossfit` decides.
    single_network : bool
        Whether a fit makes a single network under the name of the plan; a plan states it as a literal.
    section : str
        Section of the recipe that asks for the plan: `training.plan`, or a section of `runs` for a plan that
        derives a member from stored members. A plan states it as a literal, since recipes read it from the
        source.

    See Also
    --------
    committee.training.crossfit.crossfit.CrossFit : Runs a plan on folds and on all rows.
    committee.training.plans.single.Single : The simplest plan.

    Examples
    --------
    >>> from committee.training.plans.base import PLANS
    >>> PLANS.load("bagging").section, PLANS.load("soup").section
    ('training.plan', 'runs.model_soup')
    """

    section: ClassVar[str] = "training.plan"
    single_network: ClassVar[bool] = True
    name: str
    others: tuple[str, ...] = ()
    folds: int
    inference: str
    epochs: int | None
    batch_size: int
    networks: int = 1
    stacked: bool = False

    def __init__(self, dataset: Dataset, store: Store, device: torch.device) -> None:
        self.dataset, self.store, self.device = dataset, store, device

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Return everything but rows and data that decides what `run` makes, as plain JSON values."""

    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """Return the properties of the member that listings show, as plain JSON values.

        `of` has the names of the members that it is derived from, if any.
        """

    @abstractmethod
    def check(self) -> None:
        """Raise a CommitteeError, within seconds, if the fits cannot succeed."""

    @abstractmethod
    def run(
        self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None
    ) -> Mapping[str, Stored]:
        """Train on `rows`, or continue an interrupted run with the same `fingerprint`.

        Parameters
        ----------
        rows : int64 `[N]`
            Rows of the data set.
        fold : str
            `fold_0`, ..., or `refit`.
        fingerprint : str
            Digest of settings, data and rows.
        epochs : int, optional
            The number of epochs, if the folds have chosen it.

        Returns
        -------
        mapping of str to Stored
            `name` and each of `others`. `provenance["epochs"]` is the number of epochs of each.
        """

    def predict(self, member: Stored, rows: Rows, fold: str) -> NDArray[np.float32]:
        """Return the logits `[N, C]` of rows of one split by a member that `run` made for a fold.

        Numbers of networks that predict variances are `[N, T, 2]`.
        """
        return logits_of(
            with_variance(member), self.dataset, rows, batch_size=self.batch_size, device=self.device
        )

    def predict_maps(
        self, member: Stored, rows: Rows, keep: Callable[[Tensor], None] | None = None
    ) -> NDArray[np.float32]:
        """Return the logits `[R, C]` of the sampled pixels of rows of a data set of maps; see `logits_of`."""
        return logits_of(
            member, self.dataset, rows, batch_size=self.batch_size, device=self.device, keep=keep
        )

    def sample_weights(self, member: Stored, rows: Rows) -> NDArray[np.float32] | None:
        """Return the weights that a member, which `run` made, gives to those it is made of, for each row.

        Returns
        -------
        float32 array `[N, M]`
            In the order of `of` in `facts`. None is returned if the weights are the same for all images.
        """
        return None

    def files(self) -> Collection[Path]:
        """Return the files outside of the store that the fits read."""
        return ()

    def builders(self) -> Collection[str]:
        """Return the `python:` backbones that the fits build."""
        return ()

    def choosing_rows(self, split: Literal["val", "test"]) -> Rows:
        """Return the rows of a split on which the fits make choices, int64 `[n]`; they count as seen."""
        return self.dataset.rows(split)[:0]

    def out_of_bag(self, member: Stored, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
        """Return the predictions of training rows by those networks of a member that have not seen them.

        Returns
        -------
        logits : float32 array `[N, C]`
            For a row that all networks have seen, by all networks.
        seen : bool array `[N]`
            The rows that all networks have seen.

        None is returned instead if every network has seen every row.
        """
        return None


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
    trusted : bool or collection of str
        The `python:` backbones that may be built from the store.
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
    trusted: bool | Collection[str] = ()

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

    def __init__(self, name: str, inputs: Inputs) -> None:
        super().__init__(inputs.dataset, inputs.store, inputs.device)
        self.name, self.inputs = name, inputs
        self.members = list(inputs.members)
        self.inference, self.batch_size, self.seed = inputs.inference, inputs.batch_size, inputs.seed

    def builders(self) -> Collection[str]:
        """Return the `python:` backbones of the members; see the base class."""
        named = {str(self.inputs.facts[member].get("backbone", "")) for member in self.members}
        return {name for name in named if name.startswith("python:")}


PLANS: Family[Plan] = Family("committee.training.plans", "plan")

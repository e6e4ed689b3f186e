"""What every plan gives: a member, or several of one run, from the rows that it may learn from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from committee.base.registry import Family
from committee.images.dataset import Dataset
from committee.models.composites.base import Composite
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.store.layout import Store
from committee.training.fit.batches import Rows
from committee.training.fit.predict import logits_of

Stored = Member | Ensemble | Composite
"""What a plan makes: photos in, logits out, with `class_names`, `provenance` and `save`."""


class Plan(ABC):
    """How rows become a member.

    Attributes
    ----------
    name : str
        The member's.
    others : tuple of str
        Members that come of the same run, if any.
    folds : int
        Folds of its cross-fit; 0 trains on all rows alone.
    inference : "refit" or "folds"
        Which networks will speak for it.
    epochs : int or None
        Of every fit; None where its rows decide. Of a boosted series, stages.
    batch_size : int
        Images at once, when it predicts.
    networks : int
        That a fit trains, at most.
    chooses_on : tuple of str
        Splits kept apart that its fits choose on: their rows count as seen.
    derives : bool
        Whether the plan derives a member from stored members, instead of training a backbone.
    section : str
        Section of the recipe that asks for the plan.
    """

    derives: ClassVar[bool] = False
    section: ClassVar[str] = "training.plan"
    name: str
    others: tuple[str, ...] = ()
    folds: int
    inference: str
    epochs: int | None
    batch_size: int
    networks: int = 1
    chooses_on: tuple[str, ...] = ()

    def __init__(self, dataset: Dataset, store: Store, device: torch.device) -> None:
        self.dataset, self.store, self.device = dataset, store, device

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Return all but rows and data that decides what `run` makes, as plain JSON values."""

    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """Return what listings show of the member, as plain JSON values.

        `of` names the members that it comes from, where it comes from members.
        """

    @abstractmethod
    def check(self) -> None:
        """Refuse, in a few seconds, what could not be trained anyway."""

    @abstractmethod
    def run(
        self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None
    ) -> Mapping[str, Stored]:
        """Train on `rows`, or go on where an interrupted run of the same `fingerprint` stopped.

        Parameters
        ----------
        rows : int64 `[N]`
            Rows of the data set.
        fold : str
            `fold_0`, ..., or `refit`.
        fingerprint : str
            Digest of settings, data and rows.
        epochs : int, optional
            The number of epochs, where the folds have chosen it.

        Returns
        -------
        mapping of str to Stored
            `name` and each of `others`; `provenance["epochs"]` says how long each was trained.
        """

    def predict(self, member: Stored, rows: Rows, fold: str) -> NDArray[np.float32]:
        """Return the logits `[N, C]` of a member that `run` made for a fold, on rows of one split."""
        return logits_of(member, self.dataset, rows, batch_size=self.batch_size, device=self.device)

    def out_of_bag(self, member: Stored, rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
        """Return logits `[N, C]` of training rows by networks that have not seen them, where there are such.

        Beside them, bool `[N]`: rows that all networks have seen, whose logits are those of all. None where
        every network has seen every row.
        """
        return None


PLANS: Family[Plan] = Family("committee.training.plans", "plan")

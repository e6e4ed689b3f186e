"""What every plan gives: a member, from the rows that it may learn from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch

from committee.images.dataset import Dataset
from committee.member import Member
from committee.registry import Family
from committee.store.layout import Store
from committee.training.batches import Rows


class Plan(ABC):
    """How rows become a member.

    Attributes
    ----------
    name : str
        The member's.
    folds : int
        Folds of its cross-fit; 0 trains on all rows alone.
    inference : "refit" or "folds"
        Which networks will speak for it.
    epochs : int or None
        Of every fit; None where its rows decide.
    batch_size : int
        Images at once, when it predicts.
    """

    name: str
    folds: int
    inference: str
    epochs: int | None
    batch_size: int

    def __init__(self, dataset: Dataset, store: Store, device: torch.device) -> None:
        self.dataset, self.store, self.device = dataset, store, device

    @abstractmethod
    def settings(self) -> Mapping[str, Any]:
        """Return all but rows and data that decides what `run` makes, as plain JSON values."""

    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """Return what listings show of the member, as plain JSON values."""

    @abstractmethod
    def check(self) -> None:
        """Refuse, in a few seconds, what could not be trained anyway."""

    @abstractmethod
    def run(self, rows: Rows, fold: str, *, made_from: str, epochs: int | None = None) -> Member:
        """Train on `rows`, or go on where an interrupted run of the same `made_from` stopped.

        Parameters
        ----------
        rows : int64 `[N]`
            Rows of the data set.
        fold : str
            `fold_0`, ..., or `refit`.
        made_from : str
            Digest of settings, data and rows.
        epochs : int, optional
            The number of epochs, where the folds have chosen it.
        """


PLANS: Family[Plan] = Family("committee.training.plans", "plan")

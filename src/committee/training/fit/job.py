"""Inputs and result of one fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from committee.base.randomness import derive
from committee.images.dataset import Dataset
from committee.models.member import Member
from committee.recipe.members import MemberSpec
from committee.training.fit.batches import Rows
from committee.training.fit.resume import InMemory
from committee.training.fit.steps import Step
from committee.training.fit.weight_trackers import MakeTracker, Weights


@dataclass(frozen=True, eq=False)
class Extra:
    """Additions of a plan to a fit.

    Attributes
    ----------
    begin : callable or None
        Returns the member to start from, instead of an untrained backbone.
    weights : float32 array `[N]` or None
        Weight of each row in the loss, multiplied by that of its class.
    offsets : float32 array `[N, C]` or None
        Logits of each row, to which those of the network are added in the loss.
    trackers : tuple of callable
        Each makes a `WeightTracker` from a network.
    step : callable or None
        Makes the `Step` of the fit from the same arguments, in place of the class.

    Notes
    -----
    Everything must be picklable, since it is sent to the processes that share a fit.
    """

    begin: Callable[[], Member] | None = None
    weights: NDArray[np.float32] | None = None
    offsets: NDArray[np.float32] | None = None
    trackers: tuple[MakeTracker, ...] = ()
    step: Callable[..., Step] | None = None


@dataclass(frozen=True, eq=False)
class Job:
    """Inputs of a fit; see the parameters of `train`.

    `micro_batch` is the largest number of images that pass through the network at once. Larger batches are
    divided. The state of a fit that need not survive the process is kept in memory instead of in a folder.
    """

    spec: MemberSpec
    dataset: Dataset
    rows: Rows
    fold: str
    device: torch.device
    folder: Path | InMemory
    fingerprint: str
    epochs: int | None
    micro_batch: int
    extra: Extra = Extra()

    @property
    def name(self) -> str:
        """Member and fold, for messages."""
        return f"{self.spec.name}/{self.fold}"

    @property
    def learned(self) -> NDArray[Any]:
        """What the network has to predict, `[N]` or `[N, T]`: of numbers, what their offsets leave."""
        labels, offsets = self.dataset.learned(self.rows), self.extra.offsets
        return labels if offsets is None or labels.ndim == 1 else labels - offsets

    def seed(self, *purpose: str | int) -> int:
        """Return the seed for one purpose within this fit."""
        return derive(self.spec.seed, self.spec.name, self.fold, *purpose)


@dataclass(frozen=True, eq=False)
class Trained:
    """Result of a fit.

    Attributes
    ----------
    member : Member
    tracked : dict of str to dict
        State dicts that the trackers collected, by name.
    """

    member: Member
    tracked: dict[str, Weights]

"""What a fit is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from committee.base.randomness import derive
from committee.images.dataset import Dataset
from committee.models.member import Member
from committee.recipe.members import MemberSpec
from committee.training.fit.batches import Rows
from committee.training.fit.weight_trackers import Follow, Weights


@dataclass(frozen=True, eq=False)
class Extra:
    """What a plan adds to a plain fit.

    Attributes
    ----------
    begin : callable or None
        Gives the member to start from, instead of an untrained backbone.
    weights : float32 `[N]` or None
        Of each row in the loss, beside those of its class.
    offsets : float32 `[N, C]` or None
        Logits of each row to which the network's are added: it learns what is missing.
    follow : tuple of callables
        From a network to a `Follower`, which goes along with its weights.

    Notes
    -----
    All of it must be fit to be sent to the processes that share a fit.
    """

    begin: Callable[[], Member] | None = None
    weights: NDArray[np.float32] | None = None
    offsets: NDArray[np.float32] | None = None
    follow: tuple[Follow, ...] = ()


@dataclass(frozen=True, eq=False)
class Job:
    """What a fit is given; the parameters are those of `loop.train`.

    `micro_batch` images go through the network together; a batch of more is divided.
    """

    spec: MemberSpec
    dataset: Dataset
    rows: Rows
    fold: str
    device: torch.device
    folder: Path
    fingerprint: str
    epochs: int | None
    micro_batch: int
    extra: Extra = Extra()

    @property
    def name(self) -> str:
        """Member and fold, for people."""
        return f"{self.spec.name}/{self.fold}"

    def seed(self, *purpose: str | int) -> int:
        """Return the seed of one purpose of this fit."""
        return derive(self.spec.seed, self.spec.name, self.fold, *purpose)


@dataclass(frozen=True, eq=False)
class Trained:
    """What a fit came to.

    Attributes
    ----------
    member : Member
    found : dict
        Name -> state dict of its network, of each member that followers made of the same run.
    """

    member: Member
    found: dict[str, Weights]

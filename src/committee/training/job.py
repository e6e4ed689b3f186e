"""What a fit is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from committee.images.dataset import Dataset
from committee.randomness import derive
from committee.recipe.members import MemberSpec
from committee.training.batches import Rows


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
    made_from: str
    epochs: int | None
    micro_batch: int

    @property
    def name(self) -> str:
        """Member and fold, for people."""
        return f"{self.spec.name}/{self.fold}"

    def seed(self, *purpose: str | int) -> int:
        """Return the seed of one purpose of this fit."""
        return derive(self.spec.seed, self.spec.name, self.fold, *purpose)

"""A fusion head of one linear layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from committee.models.fusions.base import FusionHead


class Summed(FusionHead):
    """A linear layer on the concatenated embeddings."""

    def _layers(self) -> None:
        self.linear = nn.Linear(sum(self.sizes), self.classes)

    def fuse(self, views: Sequence[Tensor]) -> Tensor:
        """Return logits `[B, C]`."""
        return self.linear(torch.cat(list(views), 1))

"""A fusion head: the sum of one linear layer for each embedding."""

from __future__ import annotations

from torch import nn

from committee.models.fusions import FusionHead


class GuestSum(FusionHead):
    """The sum of one linear layer for each embedding."""

    def _layers(self):
        self.linears = nn.ModuleList(nn.Linear(size, self.classes) for size in self.sizes)

    def fuse(self, views):
        """Return logits `[B, C]` for standardized embeddings, `[B, D]` for each network."""
        return sum(linear(view) for linear, view in zip(self.linears, views, strict=True))

"""A weight for each network, anew for each photo."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from committee.models.fusions.base import FusionHead, mlp


class Attention(FusionHead):
    """Attention over networks (Ilse et al. 2018): embeddings, projected, are averaged by learned weights.

    `attend` reads out the weights.
    """

    def _layers(self) -> None:
        width, *others = self.hidden_dims or (self.classes,)
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Linear(size, width), nn.GELU(), nn.LayerNorm(width)) for size in self.sizes
        )
        self.score = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))
        self.drop = nn.Dropout(self.dropout)
        self.mlp = mlp(width, others, self.classes, self.dropout)

    def fuse(self, views: Sequence[Tensor]) -> Tensor:
        """Return logits; see the base class."""
        tokens = self._tokens(views)
        return self.mlp(self.drop((self._weights(tokens).unsqueeze(2) * tokens).sum(1)))

    def attend(self, embeddings: Sequence[Tensor]) -> Tensor:
        """Return the weight of each network, `[B, M]`; they sum to 1."""
        return self._weights(self._tokens(self.standard(embeddings)))

    def _tokens(self, views: Sequence[Tensor]) -> Tensor:
        return torch.stack([make(view) for make, view in zip(self.projections, views, strict=True)], 1)

    def _weights(self, tokens: Tensor) -> Tensor:
        return self.score(tokens).squeeze(2).softmax(1)

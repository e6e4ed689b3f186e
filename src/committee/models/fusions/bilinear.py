"""Products of the embeddings of every two networks, at the cost of one projection each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from committee.models.fusions.base import FusionHead, mlp


class Bilinear(FusionHead):
    """Low-rank bilinear fusion (Kim et al. 2017), over all pairs of networks.

    The products of every two of M projections add up to half of the squared sum less the sum of squares
    (Rendle 2010): M projections instead of M (M - 1) / 2 pairs. The sum itself goes on beside the products.
    """

    def _layers(self) -> None:
        rank, *others = self.hidden_dims or (self.classes,)
        self.projections = nn.ModuleList(nn.Linear(size, rank) for size in self.sizes)
        self.norms = nn.ModuleList(nn.LayerNorm(rank) for _ in range(2))
        self.drop = nn.Dropout(self.dropout)
        self.mlp = mlp(2 * rank, others, self.classes, self.dropout)

    def fuse(self, views: Sequence[Tensor]) -> Tensor:
        """Return logits; see the base class."""
        projected = torch.stack([make(view) for make, view in zip(self.projections, views, strict=True)])
        total = projected.sum(0)
        products = (total.square() - projected.square().sum(0)) / 2
        # The square root tames products of outliers (Fukui et al. 2016).
        rooted = products.sign() * (products.abs() + 1e-6).sqrt()
        parts = [norm(part) for norm, part in zip(self.norms, (total, rooted), strict=True)]
        return self.mlp(self.drop(torch.cat(parts, 1)))

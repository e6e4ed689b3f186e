"""Bilinear fusion: products of the projected embeddings of all pairs of networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from committee.models.fusions.base import FusionHead, mlp


class Bilinear(FusionHead):
    """Low-rank bilinear fusion (Kim et al. 2017) over all pairs of networks.

    The sum of the products of all pairs of M projections is half of the difference between the square of the
    sum and the sum of squares (Rendle 2010). So it needs M projections and not M (M - 1) / 2 products. The
    sum of the projections is a second input of the hidden layers.

    The parameters are those of `FusionHead`.

    See Also
    --------
    ConcatMlp : All embeddings side by side.

    References
    ----------
    J.-H. Kim et al. (2017). Hadamard product for low-rank bilinear pooling. ICLR.
    S. Rendle (2010). Factorization machines. ICDM.

    Examples
    --------
    >>> import torch
    >>> from committee.models.fusions import Bilinear
    >>> head = Bilinear(sizes=[6, 4], classes=3, hidden_dims=[8, 5]).eval()
    >>> head([torch.randn(2, 6), torch.randn(2, 4)]).shape
    torch.Size([2, 3])
    """

    def _layers(self) -> None:
        rank, *others = self.hidden_dims or (self.classes,)
        self.projections = nn.ModuleList(nn.Linear(size, rank) for size in self.sizes)
        self.norms = nn.ModuleList(nn.LayerNorm(rank) for _ in range(2))
        self.drop = nn.Dropout(self.dropout)
        self.mlp = mlp(2 * rank, others, self.classes, self.dropout)

    def fuse(self, views: Sequence[Tensor]) -> Tensor:
        """Return logits `[B, C]` for standardized embeddings, `[B, D]` for each network."""
        projected = torch.stack([make(view) for make, view in zip(self.projections, views, strict=True)])
        total = projected.sum(0)
        products = (total.square() - projected.square().sum(0)) / 2
        # The signed square root reduces the effect of outliers (Fukui et al. 2016).
        rooted = products.sign() * (products.abs() + 1e-6).sqrt()
        parts = [norm(part) for norm, part in zip(self.norms, (total, rooted), strict=True)]
        return self.mlp(self.drop(torch.cat(parts, 1)))

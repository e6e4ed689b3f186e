"""Fusion by attention over the networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from committee.models.fusions.base import FusionHead, mlp


class Attention(FusionHead):
    """Attention over networks (Ilse et al. 2018): a weighted mean of projected embeddings.

    The weights are computed from the projected embeddings of each image; `attend` returns them.

    The parameters are those of `FusionHead`.

    See Also
    --------
    ConcatMlp : All embeddings side by side.

    References
    ----------
    M. Ilse, J. Tomczak, M. Welling (2018). Attention-based deep multiple instance learning. ICML.

    Examples
    --------
    >>> import torch
    >>> from committee.models.fusions import Attention
    >>> head = Attention(sizes=[6, 4], classes=3, hidden_dims=[8, 5]).eval()
    >>> head([torch.randn(2, 6), torch.randn(2, 4)]).shape
    torch.Size([2, 3])
    >>> head.attend([torch.randn(2, 6), torch.randn(2, 4)]).sum(dim=1).allclose(torch.ones(2))
    True
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
        """Return logits `[B, C]` for standardized embeddings, `[B, D]` for each network."""
        tokens = self._tokens(views)
        return self.mlp(self.drop((self._weights(tokens).unsqueeze(2) * tokens).sum(1)))

    def attend(self, embeddings: Sequence[Tensor]) -> Tensor:
        """Return the weights of the networks for each image, `[B, M]`; they sum to 1."""
        return self._weights(self._tokens(self.standard(embeddings)))

    def _tokens(self, views: Sequence[Tensor]) -> Tensor:
        return torch.stack([make(view) for make, view in zip(self.projections, views, strict=True)], 1)

    def _weights(self, tokens: Tensor) -> Tensor:
        return self.score(tokens).squeeze(2).softmax(1)

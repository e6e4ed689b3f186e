"""Fusion by a multilayer perceptron on the concatenated embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from committee.models.fusions.base import FusionHead, mlp


class ConcatMlp(FusionHead):
    """A multilayer perceptron with GELU and dropout on the concatenated embeddings.

    The parameters are those of `FusionHead`.

    See Also
    --------
    Attention : A weighted mean of the embeddings.
    Bilinear : Products of the embeddings of pairs of networks.

    Examples
    --------
    >>> import torch
    >>> from committee.models.fusions import ConcatMlp
    >>> head = ConcatMlp(sizes=[6, 4], classes=3, hidden_dims=[8, 5]).eval()
    >>> head([torch.randn(2, 6), torch.randn(2, 4)]).shape
    torch.Size([2, 3])
    """

    def _layers(self) -> None:
        self.mlp = mlp(sum(self.sizes), self.hidden_dims, self.classes, self.dropout)

    def fuse(self, views: Sequence[Tensor]) -> Tensor:
        """Return logits `[B, C]` for standardized embeddings, `[B, D]` for each network."""
        return self.mlp(torch.cat(list(views), 1))

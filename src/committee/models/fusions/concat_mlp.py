"""All embeddings side by side, and a multi-layer perceptron on them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from committee.models.fusions.base import FusionHead, mlp


class ConcatMlp(FusionHead):
    """Concatenation, then hidden layers with GELU and dropout."""

    def _layers(self) -> None:
        self.mlp = mlp(sum(self.sizes), self.hidden_dims, self.classes, self.dropout)

    def fuse(self, views: Sequence[Tensor]) -> Tensor:
        """Return logits; see the base class."""
        return self.mlp(torch.cat(list(views), 1))

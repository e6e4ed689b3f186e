"""A combiner that takes the last member's output."""

from __future__ import annotations

from torch import Tensor

from committee.combiners.base import Combiner


class Second(Combiner):
    """The output of the last member."""

    learns = False

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        return logits[-1].log_softmax(dim=1)

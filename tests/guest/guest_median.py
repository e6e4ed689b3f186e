"""A combiner: the median of the members' probabilities."""

from __future__ import annotations

from torch import Tensor

from committee.combiners import Combiner


class GuestMedian(Combiner):
    """Median of the members' probabilities, scaled to sum to 1."""

    learns = False

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        probabilities = logits.log_softmax(dim=2).exp().sort(dim=0).values
        return (probabilities[(len(logits) - 1) // 2] + 1e-9).log().log_softmax(dim=1)

"""Logit averaging: the normalized geometric mean of the members' probabilities."""

from __future__ import annotations

from torch import Tensor

from committee.combiners.base import Combiner


class LogitAveraging(Combiner):
    """Mean of the members' log-probabilities (the logarithmic opinion pool with equal weights)."""

    learns = False

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        return logits.log_softmax(dim=2).mean(dim=0).log_softmax(dim=1)

    def member_weights(self) -> dict[str, float]:
        """Return equal weights."""
        return dict.fromkeys(self.member_names, 1 / max(1, len(self.member_names)))

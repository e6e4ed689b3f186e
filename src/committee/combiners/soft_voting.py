"""Soft voting: the mean probability of the members."""

from __future__ import annotations

import math

from torch import Tensor

from committee.combiners.base import Combiner


class SoftVoting(Combiner):
    """Mean of the members' probabilities (the linear opinion pool with equal weights)."""

    learns = False

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        return logits.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(logits))

    def member_weights(self) -> dict[str, float]:
        """Return equal weights."""
        return dict.fromkeys(self.member_names, 1 / max(1, len(self.member_names)))

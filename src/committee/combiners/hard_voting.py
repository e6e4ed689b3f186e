"""Hard voting: each member casts one vote."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from committee.combiners.base import Combiner


class HardVoting(Combiner):
    """The exact majority, with `log((votes + mean probability) / (M + 1))` as log-probabilities.

    Equal numbers of votes are decided by the mean probability, and a class without votes keeps a positive
    probability, so the log-loss is finite.
    """

    learns = False
    # Vote shares are sharper than most members' probabilities: alone they would make a gain of one member.
    calibrates = True

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        log_probs = logits.log_softmax(dim=2)
        mean = log_probs.logsumexp(dim=0) - math.log(len(logits))
        classes = torch.arange(logits.shape[2], device=logits.device)
        ballot = classes.reshape(-1, *[1] * (logits.ndim - 3)) == log_probs.argmax(dim=2, keepdim=True)
        votes = ballot.to(logits.dtype).sum(dim=0)
        # Without votes, log(0 + exp(mean)) would underflow to log(0): take `mean` itself.
        return torch.where(votes > 0, torch.log(votes + mean.exp()), mean) - math.log(len(logits) + 1)

    def member_weights(self) -> dict[str, float]:
        """Return equal weights."""
        return dict.fromkeys(self.member_names, 1 / max(1, len(self.member_names)))

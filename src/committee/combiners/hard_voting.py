"""Hard voting: the majority of the members' predicted classes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from committee.combiners.base import Combiner


class HardVoting(Combiner):
    """The class that most members predict.

    The probability of a class is `(votes + mean probability) / (M + 1)`. So the mean probability decides ties
    between classes with equally many votes, and a class without votes has a positive probability, which keeps
    the log-loss finite.

    See Also
    --------
    SoftVoting : The mean of the members' probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.combiners import HardVoting
    >>> from committee.predictions import Predictions
    >>> rows = Predictions.from_probabilities(
    ...     [[[0.9, 0.1]], [[0.4, 0.6]], [[0.2, 0.8]]],
    ...     members=["a", "b", "c"],
    ...     class_names=["cat", "dog"],
    ... )
    >>> np.exp(HardVoting().fit(rows).combine(rows.logits)).astype(float).round(4).tolist()
    [[0.375, 0.625]]

    The majority of the classes 1, 0 and 1 is 1:

    >>> votes = [[[0.2, 0.8]], [[0.9, 0.1]], [[0.4, 0.6]]]
    >>> rows = Predictions.from_probabilities(votes, members=["a", "b", "c"], class_names=["0", "1"])
    >>> HardVoting().fit(rows).combine(rows.logits).argmax(axis=1).tolist()
    [1]
    """

    learns = False
    # Shares of votes are more confident than most members' probabilities, even with a single member.
    calibrates = True

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        log_probs = logits.log_softmax(dim=2)
        mean = log_probs.logsumexp(dim=0) - math.log(len(logits))
        classes = torch.arange(logits.shape[2], device=logits.device)
        ballot = classes.reshape(-1, *[1] * (logits.ndim - 3)) == log_probs.argmax(dim=2, keepdim=True)
        votes = ballot.to(logits.dtype).sum(dim=0)
        # Without votes, log(0 + exp(mean)) would underflow to log(0): use `mean` itself.
        return torch.where(votes > 0, torch.log(votes + mean.exp()), mean) - math.log(len(logits) + 1)

    def member_weights(self) -> dict[str, float]:
        """Return equal weights."""
        return dict.fromkeys(self.member_names, 1 / max(1, len(self.member_names)))

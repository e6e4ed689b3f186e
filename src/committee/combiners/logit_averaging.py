"""Logit averaging: the normalized geometric mean of the members' probabilities."""

from __future__ import annotations

from torch import Tensor

from committee.combiners.base import Combiner
from committee.solvers.pools import equal_weights, log_pool


class LogitAveraging(Combiner):
    """The mean of the members' log-probabilities: the logarithmic opinion pool with equal weights.

    See Also
    --------
    Weighted : Weights that are given or learned, with `space="logit"`.
    SoftVoting : The mean of probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.combiners import LogitAveraging
    >>> from committee.predictions import Predictions
    >>> rows = Predictions.from_probabilities(
    ...     [[[0.9, 0.1]], [[0.5, 0.5]]], members=["a", "b"], class_names=["cat", "dog"]
    ... )
    >>> np.exp(LogitAveraging().fit(rows).combine(rows.logits)).astype(float).round(4).tolist()
    [[0.75, 0.25]]
    """

    learns = False

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        return log_pool(logits, equal_weights(logits))

    def member_weights(self) -> dict[str, float]:
        """Return equal weights."""
        return dict.fromkeys(self.member_names, 1 / max(1, len(self.member_names)))

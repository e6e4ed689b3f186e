"""Soft voting: the mean of the members' probabilities, or numbers."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from committee.combiners.base import Combiner


class SoftVoting(Combiner):
    """The mean of the members' probabilities, which is the linear opinion pool with equal weights.

    Of numbers, it is the mean of the members' values.

    See Also
    --------
    Weighted : Weights that are given or learned.
    LogitAveraging : The mean of log-probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.combiners import SoftVoting
    >>> from committee.predictions import Predictions
    >>> rows = Predictions.from_probabilities(
    ...     [[[0.9, 0.1]], [[0.5, 0.5]]], members=["a", "b"], class_names=["cat", "dog"]
    ... )
    >>> np.exp(SoftVoting().fit(rows).combine(rows.logits)).astype(float).round(4).tolist()
    [[0.7, 0.3]]

    Three bagged trees predict 11, 11 and 10 for one sample, and 7, 8 and 9 for another:

    >>> rows = Predictions.from_values([[11, 7], [11, 8], [10, 9]], members=["a", "b", "c"])
    >>> SoftVoting().fit(rows).combine(rows.logits).astype(float).round(2).tolist()
    [[10.67], [8.0]]
    """

    serves: ClassVar[tuple[str, ...]] = ("classes", "numbers")
    learns = False

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        return self.task.pool(logits)

    def member_weights(self) -> dict[str, float]:
        """Return equal weights."""
        return dict.fromkeys(self.member_names, 1 / max(1, len(self.member_names)))

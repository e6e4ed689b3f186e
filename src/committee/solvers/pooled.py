"""Weighted pools of members, scored by any metric of their log-probabilities."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from committee.metrics.objectives import Objective
from committee.solvers.columns import Columns, spans
from committee.solvers.pools import linear_pool, log_pool


class Pooled:
    """A weighted pool of the members on N rows, and its value of a metric that needs all probabilities.

    Each score reads the logits of the members that have weight, and pools them as the combiners do, so that
    it is the score of the combiner with these weights. Only one array `[N, C]` is held.

    Parameters
    ----------
    known : Columns
        The columns of the logits.
    labels : int64 [N]
    objective : Objective
        The metric.
    space : str
        `probability` for the linear pool, `logit` for the logarithmic pool.

    Attributes
    ----------
    weights : float32 array [M]
        The current weights.
    sign : int
        1 if larger values of the metric are better, and -1 otherwise; scores are values times this.

    See Also
    --------
    committee.solvers.mixture.Mixture : The same for metrics of the predicted classes, which is much faster.
    """

    def __init__(
        self, known: Columns, labels: NDArray[np.int64], objective: Objective, space: str = "probability"
    ) -> None:
        self._known, self._labels, self._objective = known, labels, objective
        self._pool = linear_pool if space == "probability" else log_pool
        self.sign = 1 if objective.higher_is_better else -1
        self.weights = np.zeros(known.shape[0], np.float32)

    def move(self, weights: NDArray[np.floating]) -> None:
        """Set the weights `[M]`, which must not be negative."""
        self.weights = weights.astype(np.float32)

    def scores(self, others: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the metric for other weights `[S, M]`, which must not be negative; larger is better."""
        values = [self._objective.value(self._log_probs(each), self._labels) for each in others]
        return self.sign * np.array(values)

    def _log_probs(self, weights: NDArray[np.floating]) -> NDArray[np.float32]:
        weights = weights.astype(np.float32)
        used = np.flatnonzero(weights)
        share = torch.from_numpy(weights[used] / weights.sum())
        _, rows, classes = self._known.shape
        result = np.empty((rows, classes), np.float32)
        for span in spans(rows, len(used) * classes):
            result[span] = self._pool(torch.from_numpy(self._known.tile(used, span)), share).numpy()
        return result

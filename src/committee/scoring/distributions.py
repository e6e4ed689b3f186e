"""The variance of what an ensemble predicts, from stored predictions of its members."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.combiners.base import Combiner
from committee.metrics.mixtures import mixture_moments
from committee.predictions.table import Predictions
from committee.solvers.moments import shares_of
from committee.tasks.base import task_of

Floats = NDArray[np.float64]


def spread_of_members(
    outputs: NDArray[np.floating[Any]], combiner: Combiner, predictions: Predictions
) -> Floats | None:
    """Return the standard deviation of each combined number, float64 `[N, T]`, or None without any.

    It is that of the mixture of the members, with the weights of the combiner, around what it predicts. Of
    members that predict no variance, it says how far they disagree; a single one of them has none.

    Parameters
    ----------
    outputs : float array [N, T]
        What the combiner returned for the rows.
    combiner : Combiner
    predictions : Predictions
        The rows.

    See Also
    --------
    committee.metrics.mixture_moments : The moments of a mixture.

    Examples
    --------
    >>> from committee.combiners import SoftVoting
    >>> from committee.predictions import Predictions
    >>> from committee.scoring.distributions import spread_of_members
    >>> rows = Predictions.from_values([[1.0], [7.0]], members=["a", "b"], variances=[[16.0], [16.0]])
    >>> fitted = SoftVoting().fit(rows)
    >>> spread_of_members(fitted.combine(rows.logits), fitted, rows).tolist()
    [[5.0]]
    """
    members = len(predictions.members)
    if not task_of(predictions).variances or (members < 2 and predictions.variances is None):
        return None
    shares = shares_of(combiner.member_weights(), members)
    return mixture_moments(predictions.logits, predictions.variances, shares, about=outputs).total


def with_variances(
    outputs: NDArray[np.float32], combiner: Combiner, predictions: Predictions
) -> NDArray[np.floating[Any]]:
    """Return numbers and their variances `[N, T, 2]`, or outputs as they are if members predict none."""
    if predictions.variances is None:
        return outputs
    spread = spread_of_members(outputs, combiner, predictions)
    assert spread is not None
    return np.stack([outputs, np.square(spread)], axis=-1)

"""Whether members know anything of the labels, or nothing but chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from committee.solvers.columns import columns

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


def evidence(predictions: Predictions) -> NDArray[np.float64]:
    """Return how surely each member knows the labels, float64 `[M]`, in standard errors; 0 is nothing.

    That is the mean, over its standard error, of the log-probability of a row's label beyond what a label
    drawn by the shares of the classes would have: the covariance of labels and log-probabilities. Groups
    count as one row each.
    """
    known, labels = columns(predictions), predictions.require_labels("evidence")
    logits = predictions.logits
    shares = (np.bincount(labels, minlength=logits.shape[2]) / len(labels)).astype(np.float32)
    # In logits as in log-probabilities: what a row's logits have in common falls out.
    excess = (known.label + known.normalizer - logits @ shares).astype(np.float64)
    if predictions.groups is not None:
        group = np.unique(predictions.groups, return_inverse=True)[1]
        excess = np.stack([np.bincount(group, weights=each) for each in excess])
    count = excess.shape[1]
    error = excess.std(axis=1) / np.sqrt(count)
    return np.divide(excess.mean(axis=1), error, out=np.zeros(len(excess)), where=error > 0)

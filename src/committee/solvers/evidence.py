"""The evidence in the data that a member predicts labels better than chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from committee.solvers.columns import columns

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


def evidence(predictions: Predictions) -> NDArray[np.float64]:
    """Return how many standard errors each member is better than chance, float64 `[M]`.

    A row's score is the log-probability of its label minus that of a label drawn with the class frequencies.
    The evidence is the mean score divided by its standard error: the covariance of labels and
    log-probabilities in units of its noise. The rows of a group count as one.
    """
    known, labels = columns(predictions), predictions.require_labels("evidence")
    logits = predictions.logits
    frequencies = (np.bincount(labels, minlength=logits.shape[2]) / len(labels)).astype(np.float32)
    # Logits serve as well as log-probabilities: a constant of a row cancels in the difference.
    excess = (known.label + known.normalizer - logits @ frequencies).astype(np.float64)
    if predictions.groups is not None:
        group = np.unique(predictions.groups, return_inverse=True)[1]
        excess = np.stack([np.bincount(group, weights=each) for each in excess])
    count = excess.shape[1]
    error = excess.std(axis=1) / np.sqrt(count)
    return np.divide(excess.mean(axis=1), error, out=np.zeros(len(excess)), where=error > 0)

"""The evidence in the data that a member predicts labels better than chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from committee.predictions.target_types import NUMBERS
from committee.solvers.columns import columns

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


def evidence(predictions: Predictions) -> NDArray[np.float64]:
    """Return how many standard errors each member is better than chance, float64 `[M]`.

    Of classes, a row's score is the log-probability of its label minus that of a label drawn with the class
    frequencies. Of numbers, it is the product of the centered prediction and the centered label, of the
    target for which the evidence is largest. The evidence is the mean score divided by its standard error:
    the covariance of labels and outputs in units of its noise. The rows of a group count as one.
    """
    excess = _products(predictions) if predictions.target_type.of_rows is NUMBERS else _excess(predictions)
    if predictions.groups is not None:
        group = np.unique(predictions.groups, return_inverse=True)[1]
        excess = np.stack([np.bincount(group, weights=each) for each in excess.reshape(-1, excess.shape[-1])])
        excess = excess.reshape(len(predictions.members), -1, excess.shape[-1])
    count = excess.shape[-1]
    error = excess.std(axis=-1) / np.sqrt(count)
    found = np.divide(excess.mean(axis=-1), error, out=np.zeros(excess.shape[:-1]), where=error > 0)
    return found.reshape(len(predictions.members), -1).max(axis=1)


def _excess(predictions: Predictions) -> NDArray[np.float64]:
    """Return the score of each row of classes, `[M, N]`."""
    known, labels = columns(predictions), predictions.require_labels("evidence")
    frequencies = (np.bincount(labels, minlength=known.shape[2]) / len(labels)).astype(np.float32)
    mean = np.stack([logits @ frequencies for logits in predictions.logits])
    # Logits serve as well as log-probabilities: a constant of a row cancels in the difference.
    return (known.label + known.normalizer - mean).astype(np.float64)


def _products(predictions: Predictions) -> NDArray[np.float64]:
    """Return the score of each row of numbers, `[M, T, N]`."""
    labels, values = predictions.require_labels("evidence"), predictions.logits.astype(np.float64)
    products = (values - values.mean(axis=1, keepdims=True)) * (labels - labels.mean(axis=0))
    return products.transpose(0, 2, 1)

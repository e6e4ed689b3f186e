"""Uncertainty of predictions that comes from the disagreement of members."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def mutual_information(members: Iterable[NDArray[np.floating]]) -> Floats:
    """Return the mutual information of class and member for each row, float64 `[N]`, in nats.

    It is the entropy of the mean of the members' probabilities, minus the mean of their entropies: the part
    of the uncertainty that comes from the disagreement of members with equal weights. It is 0 if all members
    predict the same probabilities, and at most the logarithm of the number of members.

    Parameters
    ----------
    members : iterable of float array [N, C]
        Logits of each member, such as an array `[M, N, C]`. They are read one after the other.

    References
    ----------
    N. Houlsby, F. Huszar, Z. Ghahramani, M. Lengyel (2011). Bayesian active learning for classification and
    preference learning. arXiv:1112.5745.

    See Also
    --------
    committee.metrics.pairwise_diversity : How differently two members err.

    Examples
    --------
    Two members agree on the first row, and are certain of different classes on the second:

    >>> import numpy as np
    >>> from committee.metrics import mutual_information
    >>> logits = np.log([[[0.5, 0.5], [1 - 1e-9, 1e-9]], [[0.5, 0.5], [1e-9, 1 - 1e-9]]])
    >>> mutual_information(logits).round(4).tolist()
    [0.0, 0.6931]
    """
    number, total, within = 0, np.zeros((1, 1)), np.zeros(1)
    for logits in members:
        log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True, dtype=np.float64)
        probs = np.exp(log_probs)
        number, total, within = number + 1, total + probs, within + _entropy(probs)
    return np.maximum(_entropy(total / number) - within / number, 0)


def _entropy(probs: Floats) -> Floats:
    """Return the entropy of each row, `[N]`; 0 log 0 = 0."""
    logs = np.log(probs, out=np.zeros_like(probs), where=probs > 0)
    result: Floats = -np.vecdot(probs, logs)
    return result

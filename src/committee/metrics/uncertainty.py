"""Uncertainty of predicted classes: of a model, and of members that disagree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.base.limits import require_some
from committee.errors import DataError

Floats = NDArray[np.float64]


def entropy(logits: ArrayLike) -> Floats:
    """Return the entropy of the predicted probabilities of each row, float64 `[N]`, in nats.

    Of the log-probabilities of an ensemble, it is the total uncertainty, which is the sum of
    `expected_entropy` and `mutual_information` of its members.

    Parameters
    ----------
    logits : float array [N, C]
        Logits or log-probabilities.

    See Also
    --------
    expected_entropy : The part of it that all members share.
    mutual_information : The part of it that comes from their disagreement.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import entropy
    >>> entropy(np.log([[0.5, 0.5], [1.0, 1e-300]])).round(4).tolist()
    [0.6931, 0.0]
    """
    return _entropy(next(_probabilities([logits])))


def expected_entropy(members: Iterable[ArrayLike]) -> Floats:
    """Return the mean of the entropies of the members for each row, float64 `[N]`, in nats.

    It is the uncertainty that more members would not remove (aleatoric).

    Parameters
    ----------
    members : iterable of float array [N, C]
        Logits of each member, such as an array `[M, N, C]`. They are read one after the other.

    Raises
    ------
    DataError
        There are no members, or their logits have different shapes.

    See Also
    --------
    entropy : The total uncertainty.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import expected_entropy
    >>> logits = np.log([[[0.5, 0.5]], [[1 - 1e-9, 1e-9]]])
    >>> expected_entropy(logits).round(4).tolist()
    [0.3466]
    """
    return _entropies(members)[1]


def mutual_information(members: Iterable[ArrayLike]) -> Floats:
    """Return the mutual information of class and member for each row, float64 `[N]`, in nats.

    It is the entropy of the mean of the members' probabilities, minus the mean of their entropies: the part
    of the uncertainty that comes from the disagreement of members with equal weights (epistemic). It is 0 if
    all members predict the same probabilities, and at most the logarithm of the number of members.

    Parameters
    ----------
    members : iterable of float array [N, C]
        Logits of each member, such as an array `[M, N, C]`. They are read one after the other.

    Raises
    ------
    DataError
        There are no members, or their logits have different shapes.

    References
    ----------
    N. Houlsby, F. Huszar, Z. Ghahramani, M. Lengyel (2011). Bayesian active learning for classification and
    preference learning. arXiv:1112.5745.

    See Also
    --------
    variation_ratio : Disagreement about the predicted class alone.
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
    total, within = _entropies(members)
    return np.maximum(total - within, 0)


def variation_ratio(members: Iterable[ArrayLike]) -> Floats:
    """Return the share of the members that do not predict the most frequent class, float64 `[N]`.

    Parameters
    ----------
    members : iterable of float array [N, C]
        Logits of each member, such as an array `[M, N, C]`. They are read one after the other.

    Raises
    ------
    DataError
        There are no members, or their logits have different shapes.

    References
    ----------
    L. C. Freeman (1965). Elementary Applied Statistics. Wiley.

    See Also
    --------
    mutual_information : Disagreement about probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import variation_ratio
    >>> logits = np.log([[[0.9, 0.1]], [[0.8, 0.2]], [[0.3, 0.7]]])
    >>> variation_ratio(logits).round(4).tolist()
    [0.3333]
    """
    votes, number = np.zeros((1, 1), np.int64), 0
    for probs in _probabilities(members):
        number, votes = number + 1, votes + (probs.argmax(1)[:, None] == np.arange(probs.shape[1]))
    ratio: Floats = 1 - votes.max(axis=1) / number
    return ratio


def _entropies(members: Iterable[ArrayLike]) -> tuple[Floats, Floats]:
    """Return the entropy of the mean of the members' probabilities, and the mean of their entropies."""
    number, total, within = 0, np.zeros((1, 1)), np.zeros(1)
    for probs in _probabilities(members):
        number, total, within = number + 1, total + probs, within + _entropy(probs)
    return _entropy(total / number), within / number


def _probabilities(members: Iterable[ArrayLike]) -> Iterator[Floats]:
    """Yield the probabilities of each member; raise DataError for members without a common shape, or none."""
    shape = None
    for each in members:
        logits = np.asarray(each)
        shape = logits.shape if shape is None else shape
        if logits.ndim != 2 or logits.shape != shape:
            expected = (
                "logits [N, C]" if logits.ndim != 2 else f"logits {list(shape)}, as of the first member"
            )
            raise DataError("members", expected=expected, got=f"an array {list(logits.shape)}")
        yield np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True, dtype=np.float64))
    require_some("members", shape is not None, "member")


def _entropy(probs: Floats) -> Floats:
    """Return the entropy of each row, `[N]`; 0 log 0 = 0."""
    logs = np.log(probs, out=np.zeros_like(probs), where=probs > 0)
    result: Floats = -np.vecdot(probs, logs)
    return result

"""Diversity of each pair of members: how differently they err (Kuncheva and Whitaker 2003)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from committee.base.limits import require_some
from committee.errors import UnknownNameError, nearest
from committee.metrics import number_diversity
from committee.predictions.table import Predictions
from committee.predictions.target_types import CLASSES, NUMBERS, TargetType

Pairs = NDArray[np.float64]
Counts = tuple[Pairs, Pairs, Pairs, Pairs]
TILE = 2**12


def pairwise_diversity(predictions: Predictions, measure: str) -> Pairs:
    """Return the diversity of each pair of members, float64 `[M, M]`; larger means more diverse.

    Parameters
    ----------
    predictions : Predictions
        Outputs `[M, N, C]` with labels, which `kl` does not need.
    measure : str
        Of classes, `disagreement`: share of rows for which exactly one of the two is right. `double_fault`:
        minus the share of rows for which both are wrong. `q_statistic`: minus Yule's Q. `correlation`: minus
        the correlation of being right. `kl`: Kullback-Leibler divergence in nats, averaged over rows and over
        both directions.
        Of numbers, `disagreement`: mean squared difference of the two in units of the variance of the target.
        `correlation`: minus the correlation of their errors. Both are averaged over the targets.

    Raises
    ------
    UnknownNameError
        There is no measure of this name for such predictions.

    Examples
    --------
    >>> from committee.metrics import pairwise_diversity
    >>> from committee.predictions import Predictions
    >>> rows = Predictions.from_logits(
    ...     [[[1, 0], [1, 0]], [[1, 0], [0, 1]]], members=["a", "b"], class_names=["x", "y"], labels=[0, 0]
    ... )
    >>> pairwise_diversity(rows, "disagreement").tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """
    known = MEASURES[predictions.target_type.of_rows]
    if measure not in known:
        raise UnknownNameError(
            "diversity",
            expected=f"one of {', '.join(known)}",
            got=f"'{measure}'",
            todo=nearest(measure, known),
        )
    require_some("diversity", len(predictions), "row")
    return known[measure](predictions)


def error_correlation(predictions: Predictions) -> Pairs:
    """Return the correlation of being right, or of the errors of numbers, float64 `[M, M]`.

    Where a member is always right or always wrong, or its error is the same in all rows, the correlation is
    not defined. It is then 1 for two members with the same errors, and 0 otherwise. With several targets, it
    is the mean of their correlations.

    Examples
    --------
    >>> from committee.metrics import error_correlation
    >>> from committee.predictions import simulate
    >>> error_correlation(simulate({"a": 2.0, "b": 2.0}, rows=200)).round(2).tolist()
    [[1.0, -0.06], [-0.06, 1.0]]
    """
    return -pairwise_diversity(predictions, "correlation")


def _correlation(predictions: Predictions) -> Pairs:
    both, first, second, neither = _counts(predictions)
    product = (both + first) * (both + second) * (neither + first) * (neither + second)
    alike = (first + second == 0).astype(float)
    covariance = both * neither - first * second
    return -np.divide(covariance, np.sqrt(product), out=alike, where=product > 0)


def _disagreement(predictions: Predictions) -> Pairs:
    _, first, second, _ = _counts(predictions)
    return first + second


def _double_fault(predictions: Predictions) -> Pairs:
    return -_counts(predictions)[3]


def _q_statistic(predictions: Predictions) -> Pairs:
    both, first, second, neither = _counts(predictions)
    same, other = both * neither, first * second
    alike = (first + second == 0).astype(float)
    return -np.divide(same - other, same + other, out=alike, where=same + other > 0)


def _kl(predictions: Predictions) -> Pairs:
    members, rows = predictions.logits.shape[:2]
    cross = np.zeros((members, members))
    for start in range(0, rows, TILE):
        tile = np.array(predictions.logits[:, start : start + TILE])
        tile -= tile.max(axis=2, keepdims=True)
        log_probs = tile - np.log(np.exp(tile).sum(axis=2, keepdims=True))
        flat = log_probs.reshape(members, -1)
        cross += np.exp(flat) @ flat.T
    own = np.diag(cross)
    divergence = (own[:, None] - cross) / rows
    return np.maximum((divergence + divergence.T) / 2, 0)


def _counts(predictions: Predictions) -> Counts:
    """Return the shares of rows for which both are right, only the first, only the second, and neither."""
    labels = predictions.require_labels("diversity")
    right = np.stack([logits.argmax(axis=1) == labels for logits in predictions.logits]).astype(np.float32)
    both = (right @ right.T).astype(np.float64) / len(labels)
    alone = np.diag(both)
    first, second = alone[:, None] - both, alone[None, :] - both
    return both, first, second, 1 - both - first - second


MEASURES: dict[TargetType, dict[str, Callable[[Predictions], Pairs]]] = {
    CLASSES: {
        "disagreement": _disagreement,
        "double_fault": _double_fault,
        "q_statistic": _q_statistic,
        "correlation": _correlation,
        "kl": _kl,
    },
    NUMBERS: {
        "disagreement": number_diversity.disagreement,
        "correlation": number_diversity.negative_correlation,
    },
}

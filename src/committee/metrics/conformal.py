"""Split conformal prediction (Vovk, Gammerman, Shafer 2005): sets of classes with a guaranteed coverage.

The threshold of the sets is a quantile of the nonconformity scores of labeled rows that no model was fitted
on. This module does not import torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.errors import UsageError

Floats = NDArray[np.float64]
METHODS = ("lac", "aps", "raps", "classwise")
BY_PROBABILITY = ("lac", "classwise")
EVERYTHING = math.inf
PENALTY, UNPENALIZED = 0.01, 5
"""The penalty of `raps` for each class after the first ones of a set, and the number of these first ones."""
_TILE = 2**20
_ROUNDING = 1e-10


def nonconformity(log_probs: NDArray[np.floating], method: str) -> Floats:
    """Return the nonconformity score of each class, float64 `[N, C]`; larger means less plausible.

    Parameters
    ----------
    log_probs : float array [N, C]
        Log-probabilities or logits.
    method : {"lac", "aps", "raps", "classwise"}
        `lac`: one minus the probability of the class (least ambiguous sets; Sadinle, Lei, Wasserman 2019).
        These sets are the smallest on average. `aps`: the total probability of all more probable classes
        (adaptive prediction sets; Romano, Sesia, Candes 2020). These sets grow with the uncertainty of the
        model. The paper adds a random share of the probability of the class itself; here it is left out, so
        that an image always gets the same set, and the most probable class always has the score 0. `raps`:
        the same plus 0.01 for each place after the fifth, which makes very large sets smaller (regularized
        adaptive prediction sets; Angelopoulos et al. 2021). `classwise`: the score of `lac`, for one
        threshold per class; see `class_thresholds`.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import nonconformity
    >>> nonconformity(np.log([[0.5, 0.25, 0.25]]), "lac").round(4).tolist()
    [[0.5, 0.75, 0.75]]
    """
    check_method(method)
    exact = _normalized(log_probs)
    if method in BY_PROBABILITY:
        return -np.expm1(exact)
    order = np.argsort(-exact, axis=1, kind="stable")
    scores = _cumulative(np.take_along_axis(exact, order, 1)[:, ::-1], method)
    result = np.empty_like(exact)
    np.put_along_axis(result, order, scores, 1)
    return result


def label_scores(log_probs: NDArray[np.floating], labels: NDArray[np.int64], method: str) -> Floats:
    """Return the nonconformity scores of the labels `[N]` of log-probabilities `[N, C]`, float64 `[N]`."""
    check_method(method)
    result = np.empty(len(labels))
    for span in tiles(log_probs):
        exact, own = _normalized(log_probs[span]), labels[span, None]
        at = np.take_along_axis(exact, own, 1)
        if method in BY_PROBABILITY:
            result[span] = -np.expm1(at[:, 0])
            continue
        # The place of a label needs no order of the classes; equal probabilities keep theirs.
        place = (exact > at).sum(axis=1) + ((exact == at) & (np.arange(exact.shape[1]) < own)).sum(axis=1)
        exact.sort(axis=1)
        result[span] = np.take_along_axis(_cumulative(exact, method), place[:, None], 1)[:, 0]
    return result


def set_sizes(log_probs: NDArray[np.floating], limits: Sequence[float | Floats], method: str) -> Floats:
    """Return the sizes of the `sets` for several limits, `[K, N]`, faster than the sets themselves."""
    check_method(method)
    result = np.empty((len(limits), len(log_probs)))
    for span in tiles(log_probs):
        exact = _normalized(log_probs[span])
        if method in BY_PROBABILITY:
            scores, top = -np.expm1(exact), exact.argmax(axis=1)
        else:
            exact.sort(axis=1)
            scores, top = _cumulative(exact, method), np.zeros(len(exact), np.intp)
        first = scores[np.arange(len(scores)), top]
        for place, limit in enumerate(limits):
            outside = first > np.broadcast_to(limit, scores.shape[1])[top]
            result[place, span] = (scores <= limit).sum(axis=1) + outside
    return result


def _normalized(log_probs: NDArray[np.floating]) -> Floats:
    """Return float64 log-probabilities of logits `[N, C]`."""
    exact = log_probs.astype(np.float64)
    exact -= exact.max(axis=1, keepdims=True)
    exact -= np.log(np.exp(exact).sum(axis=1, keepdims=True))
    return exact


def _cumulative(ascending: Floats, method: str) -> Floats:
    """Return the scores of `aps` or `raps`, most probable class first, from ascending log-probabilities."""
    # Summing from the small end is more exact: a sum that starts with the large terms is soon rounded to 1.
    before = np.maximum(1 - np.cumsum(np.exp(ascending), axis=1)[:, ::-1], 0)
    if method == "raps":
        before += PENALTY * np.maximum(np.arange(1, ascending.shape[1] + 1) - UNPENALIZED, 0)
    return before


def threshold(scores: NDArray[np.floating], coverage: float, groups: ArrayLike | None = None) -> float:
    """Return the score that the label of a new row does not exceed with a probability of at least `coverage`.

    Parameters
    ----------
    scores : float array [n]
        Nonconformity scores of the labels of rows that no model was fitted on.
    coverage : float
        Above 0 and below 1.
    groups : array [n], optional
        Groups of dependent rows. The new row is then one of a new group.

    Returns
    -------
    float
        The `ceil((n + 1) * coverage)`-th smallest score, or infinity, which admits all classes, if n is too
        small. With G groups, each group has the weight `1 / (G + 1)`, divided among its rows (hierarchical
        conformal prediction; Lee, Barber, Willett 2023). This needs at least `coverage / (1 - coverage)`
        groups.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import threshold
    >>> scores = np.array([0.1, 0.2, 0.3, 0.4])
    >>> threshold(scores, 0.6), threshold(scores, 0.6, groups=[0, 0, 0, 1])
    (0.3, 0.4)
    """
    check_coverage(coverage)
    return float(thresholds(scores, [coverage], groups)[0])


def thresholds(
    scores: NDArray[np.floating], coverages: Sequence[float], groups: ArrayLike | None = None
) -> Floats:
    """Return the `threshold` for each of several coverages."""
    order = np.argsort(scores)
    if groups is None:
        reached = np.arange(1, len(scores) + 1) / (len(scores) + 1)
    else:
        unit = np.unique(groups, return_inverse=True)[1]
        sizes = np.bincount(unit)
        reached = np.cumsum(1 / ((len(sizes) + 1) * sizes[unit[order]]))
    place = np.searchsorted(reached, np.asarray(coverages) - _ROUNDING)
    return np.append(scores[order], EVERYTHING)[place]


def class_thresholds(
    scores: NDArray[np.floating], labels: NDArray[np.int64], classes: int, coverages: Sequence[float]
) -> list[Floats]:
    """Return the thresholds of each class for several coverages, computed from the rows of that class.

    The sets then contain the true class with at least the requested probability *for each class* (Mondrian or
    class-conditional conformal prediction; Vovk et al. 2005, section 4.5). A class of few rows has an
    infinite threshold: it is in each set. A coverage of 0.95 needs 19 rows of a class.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import class_thresholds
    >>> scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    >>> class_thresholds(scores, np.array([0, 0, 0, 0, 1, 1]), 2, [0.5])
    [array([0.3]), array([0.6])]
    """
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels, minlength=classes))
    return [thresholds(each, coverages) for each in np.split(scores[order], ends[:-1])]


def sets(log_probs: NDArray[np.floating], limit: float | Floats, method: str) -> NDArray[np.bool_]:
    """Return the prediction set of each row, bool `[N, C]`.

    A set contains the classes whose nonconformity score is at most `limit`, a number or one for each class
    `[C]`, and the most probable class. So a set is never empty, which can only increase the coverage.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import sets
    >>> sets(np.log([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25]]), 0.7, "lac").tolist()
    [[True, False, False], [True, True, False]]
    """
    inside = nonconformity(log_probs, method) <= limit
    inside[np.arange(len(inside)), log_probs.argmax(axis=1)] = True
    return inside


def tiles(log_probs: NDArray[np.floating]) -> Iterator[slice]:
    """Yield slices of the rows, so that the scores of a slice are few."""
    step = max(1, _TILE // max(log_probs.shape[1], 1))
    for start in range(0, len(log_probs), step):
        yield slice(start, start + step)


def check_coverage(coverage: float) -> None:
    """Raise a UsageError unless the coverage is above 0 and below 1."""
    if not 0 < coverage < 1:
        raise UsageError(
            "coverage", expected="a number above 0 and below 1, such as 0.95", got=f"{coverage:g}"
        )


def check_method(method: str) -> None:
    """Raise a UsageError unless there is such a kind of sets."""
    if method not in METHODS:
        raise UsageError("sets", expected=f"one of {', '.join(METHODS)}", got=f"'{method}'")

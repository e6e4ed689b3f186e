"""One-versus-rest areas under ROC curves, and the influence of each row on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
_BLOCK = 64


@dataclass(frozen=True, eq=False)
class Ranking:
    """The macro one-versus-rest area under the ROC curve of log-probabilities.

    Attributes
    ----------
    log_probs : float array [N, C]
        Scores. With two classes, the score of the second class is the difference of its log-probability and
        that of the first.
    labels : int64 array [N]
        Class indices.

    See Also
    --------
    committee.metrics.evaluate : All metrics, the area under the ROC curve included.

    Notes
    -----
    The mean is over the classes that some rows have and some have not. The area of a class that no row has,
    or all rows have, is not defined.

    References
    ----------
    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson (1988). Comparing the areas under two or more correlated
    receiver operating characteristic curves: a nonparametric approach. Biometrics 44, 837-845.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import Ranking
    >>> second = np.array([0.1, 0.4, 0.35, 0.8])
    >>> Ranking(np.log(np.stack([1 - second, second], axis=1)), np.array([0, 0, 1, 1])).area
    0.75
    """

    log_probs: Floats
    labels: NDArray[np.int64]

    @cached_property
    def positives(self) -> NDArray[np.int64]:
        """Number of rows of each class of the mean, `[K]`."""
        return self._counts[self._classes]

    @cached_property
    def areas(self) -> Floats:
        """Area of each class of the mean, float64 `[K]`."""
        return np.array([_area(score, self.labels == index) for index, score in self._scores()])

    @cached_property
    def area(self) -> float:
        """The mean of `areas`; NaN if there are none."""
        return float(self.areas.mean()) if len(self.areas) else float("nan")

    @cached_property
    def influence(self) -> Floats:
        """N times the derivative of the area with respect to the weight of each row, float64 `[N]`.

        The sum is 0. To first order, the area of rows with weights `w` is `area + (w * influence).sum() /
        w.sum()`; DeLong's variance is the variance of this sum.
        """
        if not len(self._classes):
            return np.full(len(self.labels), np.nan)
        result = np.zeros(len(self.labels))
        for index, score in self._scores():
            order, part = _influence(score, self.labels == index)
            result[order] += part
        return result * (len(result) / len(self._classes))

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        return np.bincount(self.labels, minlength=self.log_probs.shape[1])

    @cached_property
    def _classes(self) -> NDArray[np.int64]:
        """The classes of the mean; with two classes, the second one alone."""
        defined = np.flatnonzero((self._counts > 0) & (self._counts < len(self.labels)))
        return defined[-1:] if len(self._counts) == 2 else defined

    def _scores(self) -> Iterator[tuple[int, Floats]]:
        """Yield each class of the mean with the scores of all rows."""
        if len(self._counts) == 2:
            # Log-odds still rank rows whose probability is rounded to 1.
            for index in self._classes:
                yield int(index), self.log_probs[:, 1] - self.log_probs[:, 0]
            return
        for start in range(0, len(self._classes), _BLOCK):
            block = self._classes[start : start + _BLOCK]
            yield from zip(block.tolist(), np.ascontiguousarray(self.log_probs[:, block].T), strict=True)


def _area(score: Floats, positive: NDArray[np.bool_]) -> float:
    """Return the share of pairs in which the positive has the higher score; ties count half."""
    above = int(positive.sum())
    below = len(positive) - above
    everything, own = np.sort(score), np.sort(score[positive])
    ranks = np.searchsorted(everything, own, "left") + np.searchsorted(everything, own, "right")
    # The positives form above**2 / 2 pairs among themselves, with ties counted half.
    return float((ranks.sum() / 2 - above**2 / 2) / (above * below))


def _influence(score: Floats, positive: NDArray[np.bool_]) -> tuple[NDArray[np.int64], Floats]:
    """Return the rows in ascending order of score, and the derivative with respect to the weight of each."""
    order = np.argsort(score)
    above = int(positive.sum())
    below = len(positive) - above
    is_positive = positive[order]
    positives_below, rows_below = _middle_ranks(score[order], is_positive)
    part = (above - positives_below) / (above * below)
    own = np.flatnonzero(is_positive)
    part[own] = (rows_below[own] - positives_below[own]) / (above * below)
    area = part[own].sum()
    part -= area / below
    part[own] += area / below - area / above
    return order, part


def _middle_ranks(ordered: Floats, is_positive: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return how many positives and rows have a lower score, plus half of those with an equal score."""
    positives = np.cumsum(is_positive)
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    if len(last) == len(ordered):
        return positives - is_positive / 2, np.arange(len(ordered)) + 0.5
    length = np.diff(last, prepend=-1)
    at_end = positives[last]
    middle = (at_end + np.append(0, at_end[:-1])) / 2
    return np.repeat(middle, length), np.repeat(last + 1 - length / 2, length)

"""Precision, recall and F1 averaged over classes: values, influences of rows, and the rates behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from committee.metrics.sampling import Rates
from committee.metrics.summaries import Floats, Rows, Summary

TOTALS = {"precision": (0, 1, 0), "recall": (1, 0, 0), "f1": (0.5, 0.5, 0), "iou": (1, 1, -1)}
"""How often labels, predictions and correct predictions of a class count in the total of its rate."""


@dataclass(frozen=True)
class ClassAverage:
    """A weighted mean over classes of `hit / total`.

    Attributes
    ----------
    rate : {"precision", "recall", "f1", "iou"}
        The total is the number of predictions of the class, of its labels, the mean of both, or the number of
        rows with one or the other. 0 / 0 = 0, as in scikit-learn.
    average : {"labels", "macro", "weighted"}
        The classes that have equal weights: those among the labels, or those among the labels or the
        predictions; or weights that are the numbers of labels.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import summary
    >>> from committee.metrics.averages import ClassAverage
    >>> found = summary(np.log([[0.75, 0.25], [0.6, 0.4], [0.2, 0.8]]), [0, 1, 1])
    >>> float(ClassAverage("recall", "macro")(found))
    0.75
    """

    rate: str
    average: str

    def __call__(self, found: Summary) -> Floats:
        """Return the average of a summary."""
        if (self.rate, self.average) == ("recall", "weighted"):
            return ratio(found.hit.sum(), found.count)
        return (self.by_class(found) * self._weights(found)).sum()

    def by_class(self, found: Summary) -> Floats:
        """Return the rate of each class, `[C]`."""
        return ratio(found.hit, self._total(found))

    def influence(self, rows: Rows) -> Floats:
        """Return N times the derivative with respect to the weight of each row, `[N]`; the sum is 0."""
        found, labels, guess = rows.whole, rows.labels, rows.predicted
        weights, rates = self._weights(found), self.by_class(found)
        slope = ratio(weights, self._total(found))
        on_label, on_guess, on_hit = TOTALS[self.rate]
        loss = slope * rates
        hit = slope - on_hit * loss
        result = len(labels) * (rows.correct * hit[labels] - on_label * loss[labels] - on_guess * loss[guess])
        return result if self.average != "weighted" else result + rates[labels] - (rates * weights).sum()

    def rates(self, rows: Rows) -> Rates:
        """Return the rates of the classes that have a weight."""
        found = rows.whole
        total, weights = self._total(found), self._weights(found)
        used = (weights > 0) & (total > 0)
        return Rates(found.hit[used], total[used], weights[used])

    def _total(self, found: Summary) -> Floats:
        on_label, on_guess, on_hit = TOTALS[self.rate]
        return on_label * found.actual + on_guess * found.predicted + on_hit * found.hit

    def _weights(self, found: Summary) -> Floats:
        if self.average == "weighted":
            return found.actual / found.count
        used = (found.actual + found.predicted if self.average == "macro" else found.actual) > 0
        return ratio(used.astype(float), used.sum(keepdims=True).astype(float))


def ratio(part: Floats, whole: Floats) -> Floats:
    """Divide, with 0 / 0 = 0 as in scikit-learn."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole != 0)

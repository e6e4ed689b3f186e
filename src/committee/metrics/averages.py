"""Precision, recall and F1 averaged over classes: values, influences of rows, and the rates behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from committee.metrics.sampling import Rates
from committee.metrics.summaries import Floats, Rows, Summary


@dataclass(frozen=True)
class ClassAverage:
    """A weighted mean over classes of `hit / total`.

    Attributes
    ----------
    rate : {"precision", "recall", "f1"}
        The total is the number of predictions of the class, of its labels, or the mean of both. 0 / 0 = 0, as
        in scikit-learn.
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
        on_label, on_guess = {"precision": (0, 1), "recall": (1, 0), "f1": (0.5, 0.5)}[self.rate]
        loss = slope * rates
        result = len(labels) * (
            rows.correct * slope[labels] - on_label * loss[labels] - on_guess * loss[guess]
        )
        return result if self.average != "weighted" else result + rates[labels] - (rates * weights).sum()

    def rates(self, rows: Rows) -> Rates:
        """Return the rates of the classes that have a weight."""
        found = rows.whole
        total, weights = self._total(found), self._weights(found)
        used = (weights > 0) & (total > 0)
        return Rates(found.hit[used], total[used], weights[used])

    def _total(self, found: Summary) -> Floats:
        if self.rate == "f1":
            return (found.actual + found.predicted) / 2
        return found.predicted if self.rate == "precision" else found.actual

    def _weights(self, found: Summary) -> Floats:
        if self.average == "weighted":
            return found.actual / found.count
        used = (found.actual + found.predicted if self.average == "macro" else found.actual) > 0
        return ratio(used.astype(float), used.sum(keepdims=True).astype(float))


def ratio(part: Floats, whole: Floats) -> Floats:
    """Divide, with 0 / 0 = 0 as in scikit-learn."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole != 0)

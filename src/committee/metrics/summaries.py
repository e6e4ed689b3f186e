"""Summaries of predictions: the sums over rows that all classification metrics follow from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.base.limits import require_some
from committee.errors import DataError, first_five
from committee.metrics.ranking import Ranking
from committee.metrics.risk import RiskCoverage

BINS = 15
SUM_TOLERANCE = 1e-3
_TILE = 2**17
_MOST_CELLS = 2**20

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Summary:
    """Sums over rows.

    Attributes
    ----------
    count : float
        Number of rows.
    log_loss, brier : float
        Sums of the negative log-probability of the label (nats), and of the squared distance between the
        probabilities and the one-hot label.
    hit, actual, predicted : float array [C]
        Number of correct predictions, of labels and of predictions of each class.
    gap : float array [15]
        Sum of confidence minus correctness in bins of equal width.
    rows : Rows
        The rows, for what is computed on demand.

    See Also
    --------
    summary : Compute the summary of a prediction.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import summary
    >>> found = summary(np.log([[0.75, 0.25], [0.5, 0.5]]), [0, 1])
    >>> float(found.count), found.hit.tolist()
    (2.0, [1.0, 0.0])
    """

    count: Floats
    log_loss: Floats
    brier: Floats
    hit: Floats
    actual: Floats
    predicted: Floats
    gap: Floats
    rows: Rows

    @cached_property
    def gap_mass(self) -> Floats:
        """Sum of confidence minus correctness in bins of equal mass, `[15]`."""
        return _binned(self.bins_mass, self.rows.gap)

    @cached_property
    def bins_mass(self) -> NDArray[np.int64]:
        """Bin of equal mass of each confidence, `[N]`."""
        # The edges are quantiles, so equal confidences share a bin whatever the order of the rows.
        confidence = self.rows.confidence
        ordered = np.sort(confidence)
        place = np.linspace(0, len(ordered) - 1, BINS + 1)[1:-1]
        edges = np.interp(place, np.arange(len(ordered)), ordered).astype(ordered.dtype)
        # Adding comparisons to bytes uses vector instructions for sixteen or more rows at once.
        bins = np.zeros(len(ordered), np.uint8)
        for edge in edges:
            bins += confidence > edge
        return bins.astype(np.int64)

    @cached_property
    def ranking(self) -> Ranking:
        """The areas under ROC curves."""
        return Ranking(self.rows.log_probs, self.rows.labels)

    @cached_property
    def risk(self) -> RiskCoverage:
        """The areas under risk-coverage curves."""
        return RiskCoverage(self.rows.confidence, self.rows.correct)

    def area(self) -> Floats:
        """Return the macro one-versus-rest area under the ROC curve."""
        return np.array(self.ranking.area)

    def aurc(self) -> Floats:
        """Return the area under the risk-coverage curve."""
        return np.array(self.risk.aurc)

    def augrc(self) -> Floats:
        """Return the area under the generalized risk-coverage curve."""
        return np.array(self.risk.augrc)

    def pairs(self) -> NDArray[np.int64]:
        """Return the nonzero cells of the confusion matrix, int64 `[K, 3]`.

        They are label, predicted class and number of rows, in the order of the first two.
        """
        classes = self.rows.classes
        cells = self.rows.labels * classes + self.rows.predicted
        if classes * classes <= _MOST_CELLS:
            counts = np.bincount(cells)
            found = np.flatnonzero(counts)
            counts = counts[found]
        else:
            found, counts = np.unique(cells, return_counts=True)
        return np.stack([found // classes, found % classes, counts], axis=1)


def summary(log_probs: ArrayLike, labels: ArrayLike) -> Summary:
    """Return the sums that metrics follow from.

    Parameters
    ----------
    log_probs : float array [N, C]
        Normalized log-probabilities; float32 is read without a copy.
    labels : int array [N]
        Class indices.

    Raises
    ------
    DataError
        The shapes do not match, a label is out of range, or a row does not hold log-probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import evaluate, get_metric, summary
    >>> log_probs, labels = np.log([[0.75, 0.25], [0.5, 0.5]]), [0, 0]
    >>> round(float(get_metric("log_loss").function(summary(log_probs, labels))), 4)
    0.4904
    """
    return Rows.read(log_probs, labels).whole


@dataclass(frozen=True, eq=False)
class Rows:
    """Per-row values from one pass over the log-probabilities.

    Attributes
    ----------
    source : float array [K, C]
        The log-probabilities that were read.
    labels, predicted : int64 array [N]
        Class indices.
    log_loss, brier, confidence : float array [N]
        Terms of the log-loss and of the Brier score, and the highest probability.
    places : int64 array [N], optional
        The rows of the source; all of them by default.
    """

    source: Floats
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    log_loss: Floats
    brier: Floats
    confidence: Floats
    places: NDArray[np.int64] | None = None

    @classmethod
    def read(cls, log_probs: ArrayLike, labels: ArrayLike) -> Rows:
        """Check log-probabilities `[N, C]` and labels `[N]`, and compute the values of each row."""
        array, truth = _checked(log_probs, labels)
        rows, classes = array.shape
        predicted = np.empty(rows, np.int64)
        total, square, label, confidence = np.empty((4, rows), array.dtype)
        step = max(16, _TILE // classes)
        buffer, ones = np.empty((step, classes), array.dtype), np.ones(classes, array.dtype)
        starts = np.arange(step) * classes
        for start in range(0, rows, step):
            span, tile = slice(start, start + step), array[start : start + step]
            # The probabilities of a tile stay in the cache, so everything that needs them is computed here.
            probabilities = np.exp(tile, out=buffer[: len(tile)])
            tile.argmax(axis=1, out=predicted[span])
            np.matmul(probabilities, ones, out=total[span])
            np.vecdot(probabilities, probabilities, out=square[span])
            place = starts[: len(tile)]
            confidence[span] = probabilities.ravel().take(place + predicted[span])
            label[span] = tile.ravel().take(place + truth[span])
        _check_sums(total)
        # Rounding may leave log-probabilities a little above 0: a probability above 1 has no bin.
        np.minimum(confidence, 1, out=confidence)
        np.minimum(label, 0, out=label)
        return cls(array, truth, predicted, -label, square - 2 * np.exp(label) + 1, confidence)

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, where: NDArray[np.bool_]) -> Rows:
        """Return some of the rows; few metrics need their log-probabilities, which are copied for those."""
        names = ("labels", "predicted", "log_loss", "brier", "confidence")
        places = np.flatnonzero(where) if self.places is None else self.places[where]
        return Rows(self.source, **{name: getattr(self, name)[where] for name in names}, places=places)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.source.shape[1]

    @cached_property
    def log_probs(self) -> Floats:
        """Log-probabilities, `[N, C]`."""
        return self.source if self.places is None else self.source[self.places]

    @cached_property
    def whole(self) -> Summary:
        """The summary of all rows."""
        classes, labels = self.classes, self.labels
        counts = (
            np.bincount(each, minlength=classes) for each in (labels[self.correct], labels, self.predicted)
        )
        hit, actual, predicted = (each.astype(float) for each in counts)
        return Summary(
            np.array(float(len(labels))),
            self.log_loss.sum(dtype=float),
            self.brier.sum(dtype=float),
            hit,
            actual,
            predicted,
            _binned(self.bins, self.gap),
            # Not the rows themselves: without a cycle of references, large arrays are freed at once.
            replace(self),
        )

    @property
    def ranking(self) -> Ranking:
        """The areas under ROC curves."""
        return self.whole.ranking

    @property
    def risk(self) -> RiskCoverage:
        """The areas under risk-coverage curves."""
        return self.whole.risk

    @property
    def bins_mass(self) -> NDArray[np.int64]:
        """Bin of equal mass of each confidence, `[N]`."""
        return self.whole.bins_mass

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the label, `[N]`."""
        return self.predicted == self.labels

    @cached_property
    def gap(self) -> Floats:
        """Confidence minus correctness, `[N]`."""
        return self.confidence - self.correct

    @cached_property
    def bins(self) -> NDArray[np.int64]:
        """Bin of equal width of each confidence, `[N]`."""
        # Bins are closed above, as in Guo et al. (2017). This is much faster than searching among the edges.
        return np.maximum(np.ceil(self.confidence * BINS).astype(np.int64) - 1, 0)


def _binned(bins: NDArray[np.int64], values: Floats) -> Floats:
    return np.bincount(bins, values, BINS).astype(float)


def _checked(log_probs: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    array, truth = np.asarray(log_probs), np.asarray(labels)
    array = array if array.dtype == np.float32 else array.astype(np.float64)
    if array.ndim != 2 or truth.shape != array.shape[:1]:
        raise DataError(
            "metrics",
            expected="log-probabilities [N, C] and labels [N]",
            got=f"{list(array.shape)} and {list(truth.shape)}",
        )
    require_some("metrics", len(truth), "row")
    outside = truth[(truth < 0) | (truth >= array.shape[1])]
    if truth.dtype.kind not in "iu" or len(outside):
        raise DataError(
            "metrics",
            expected=f"labels from 0 to {array.shape[1] - 1}",
            got=first_five(np.unique(outside)) or f"an array of {truth.dtype}",
        )
    return array, truth.astype(np.int64, copy=False)


def _check_sums(total: Floats) -> None:
    wrong = np.flatnonzero(~(np.abs(total - 1) <= SUM_TOLERANCE))
    if len(wrong):
        raise DataError(
            "metrics",
            expected="log-probabilities",
            got=f"a row whose exponentials sum to {total[wrong[0]]:.4g}",
            todo="Normalize logits with log_softmax.",
        )

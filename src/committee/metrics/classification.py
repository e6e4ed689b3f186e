"""Metrics of classifiers: one pass over the log-probabilities, then each metric a function of a few sums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.errors import DataError, UnknownNameError, first_five, nearest
from committee.metrics.ranking import Ranking

BINS = 15
SUM_TOLERANCE = 1e-3
_TILE = 2**17
_MOST_UNITS = 2048

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Summary:
    """Sums over rows, from which metrics follow; a resampled summary has a leading axis of resamples.

    Attributes
    ----------
    count : array [...]
        Number of rows.
    log_loss, brier : array [...]
        Sums of minus the label's log-probability (nats), and of the squared distance to the one-hot label.
    hit, actual, predicted : array [..., C]
        Rows of a class that were predicted as it; rows of the class; rows predicted as it.
    gap, gap_mass : array [..., 15]
        Confidence minus correctness, summed in bins of equal width and of equal mass.
    area : callable
        Returns the macro one-versus-rest area under the ROC curve, `[...]`; it sorts, so only when asked.
    cells : int64 array [C, C] or None
        Confusion matrix; None when resampled.
    """

    count: Floats
    log_loss: Floats
    brier: Floats
    hit: Floats
    actual: Floats
    predicted: Floats
    gap: Floats
    gap_mass: Floats
    area: Callable[[], Floats]
    cells: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Metric:
    """A number that follows from a summary.

    Attributes
    ----------
    name : str
        Its key in `METRICS`.
    function : callable
        Summary -> array [...]: a number, or one for each resample.
    higher_is_better : bool
        Its direction.
    """

    name: str
    function: Callable[[Summary], Floats]
    higher_is_better: bool = True


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its bootstrap interval."""

    value: float
    low: float
    high: float


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Divide; nothing out of nothing is 0, as in scikit-learn."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole != 0)


def _precision(found: Summary) -> Floats:
    return _ratio(found.hit, found.predicted)


def _recall(found: Summary) -> Floats:
    return _ratio(found.hit, found.actual)


def _f1(found: Summary) -> Floats:
    return _ratio(2 * found.hit, found.actual + found.predicted)


def _macro(by_class: Callable[[Summary], Floats]) -> Callable[[Summary], Floats]:
    """Mean over the classes that are among the labels or the predictions."""

    def function(found: Summary) -> Floats:
        there = (found.actual + found.predicted) > 0
        return _ratio((by_class(found) * there).sum(axis=-1), there.sum(axis=-1).astype(float))

    return function


def _weighted(by_class: Callable[[Summary], Floats]) -> Callable[[Summary], Floats]:
    """Mean over classes by their number of labels."""
    return lambda found: _ratio((by_class(found) * found.actual).sum(axis=-1), found.count)


def _balanced(found: Summary) -> Floats:
    there = found.actual > 0
    return _ratio((_recall(found) * there).sum(axis=-1), there.sum(axis=-1).astype(float))


def _all() -> Iterable[Metric]:
    yield Metric("accuracy", lambda found: _ratio(found.hit.sum(axis=-1), found.count))
    yield Metric("balanced_accuracy", _balanced)
    for name, by_class in (("f1", _f1), ("precision", _precision), ("recall", _recall)):
        yield Metric(f"{name}_macro", _macro(by_class))
        yield Metric(f"{name}_weighted", _weighted(by_class))
    yield Metric("log_loss", lambda found: _ratio(found.log_loss, found.count), higher_is_better=False)
    yield Metric("brier", lambda found: _ratio(found.brier, found.count), higher_is_better=False)
    for name in ("gap", "gap_mass"):
        yield Metric(name.replace("gap", "ece"), _calibration_error(name), higher_is_better=False)
    yield Metric("auroc", lambda found: found.area())


def _calibration_error(field: str) -> Callable[[Summary], Floats]:
    """Expected calibration error of the top class (Naeini et al. 2015; Guo et al. 2017)."""
    return lambda found: _ratio(np.abs(getattr(found, field)).sum(axis=-1), found.count)


METRICS: dict[str, Metric] = {metric.name: metric for metric in _all()}


def metric(name: str) -> Metric:
    """Return a metric by name.

    Raises
    ------
    UnknownNameError
        There is no such metric; the sentence names the nearest.
    """
    if name not in METRICS:
        raise UnknownNameError(
            "metric", expected=f"one of {', '.join(METRICS)}", got=f"'{name}'", todo=nearest(name, METRICS)
        )
    return METRICS[name]


def evaluate(log_probs: ArrayLike, labels: ArrayLike, names: Iterable[str] | None = None) -> dict[str, float]:
    """Return metrics of log-probabilities `[N, C]` against labels `[N]`: all, or those named."""
    return _values(summary(log_probs, labels), names)


def summary(log_probs: ArrayLike, labels: ArrayLike) -> Summary:
    """Return the sums that metrics need.

    Parameters
    ----------
    log_probs : float array [N, C]
        Normalized log-probabilities; float32 is read without a copy.
    labels : int array [N]
        Class indices.

    Raises
    ------
    DataError
        Shapes that do not fit, labels out of range, or rows that are not log-probabilities.
    """
    return _Rows.read(log_probs, labels).total()


def resampled(
    log_probs: ArrayLike,
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Summary:
    """Return the summaries of bootstrap resamples; equal arguments but the first give paired resamples.

    Parameters
    ----------
    log_probs, labels : array [N, C], int array [N]
        As for `summary`.
    groups : array [N], optional
        Resampled whole, for rows of one group are not independent.
    resamples : int
        Length R of the leading axis of every field.
    seed : int
        Draws the resamples.

    Notes
    -----
    More than 2048 rows or groups are dealt at random into that many sets, which are resampled instead: for a
    sum over independent rows the variance is the same, and a resample costs a row of a matrix product. The
    bins of `gap_mass` stay those of all rows, and the area under the ROC curve is linearized (DeLong 1988).
    """
    return _Rows.read(log_probs, labels).resampled(groups, resamples, seed)


def intervals(
    log_probs: ArrayLike,
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    names: Iterable[str] | None = None,
) -> dict[str, Interval]:
    """Return metrics with bootstrap intervals; see `resampled` for the parameters.

    Percentiles of the resampled values around their own mean, which is moved to the value: a calibration
    error, which noise only raises, would lie outside of its interval otherwise. An end is cut at 0 and, for
    metrics that cannot pass it, at 1.
    """
    rows = _Rows.read(log_probs, labels)
    names = tuple(METRICS if names is None else names)
    values, draws = _values(rows.total(), names), rows.resampled(groups, resamples, seed)
    return {name: interval(values[name], metric(name).function(draws), level, name) for name in names}


def interval(value: float, draws: Floats, level: float, name: str) -> Interval:
    """Return the interval of one metric from its resampled values `[R]`; see `intervals`."""
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]) - draws.mean() + value
    most = {"log_loss": np.inf, "brier": 2.0}.get(name, 1.0)
    return Interval(value, float(min(max(low, 0.0), value)), float(max(min(high, most), value)))


def per_class(found: Summary, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return precision, recall, F1 and number of labeled rows of each class."""
    columns = (_precision(found), _recall(found), _f1(found), found.actual)
    return [
        {"class": name, "precision": float(precision), "recall": float(recall), "f1": float(f1), "n": int(n)}
        for name, precision, recall, f1, n in zip(class_names, *columns, strict=True)
    ]


def confusion(found: Summary) -> NDArray[np.int64]:
    """Return the confusion matrix `[C, C]`: labels down, predictions across."""
    assert found.cells is not None, "resampled summaries have no confusion matrix"
    return found.cells


@dataclass(frozen=True, eq=False)
class _Rows:
    """What one pass finds for each row."""

    log_probs: Floats
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    log_loss: Floats
    brier: Floats
    confidence: Floats

    @classmethod
    def read(cls, log_probs: ArrayLike, labels: ArrayLike) -> _Rows:
        array, truth = _checked(log_probs, labels)
        rows, classes = array.shape
        predicted = np.empty(rows, np.int64)
        total, square, label, confidence = np.empty((4, rows), array.dtype)
        step = max(16, _TILE // classes)
        buffer, ones = np.empty((step, classes), array.dtype), np.ones(classes, array.dtype)
        starts = np.arange(step) * classes
        for start in range(0, rows, step):
            span, tile = slice(start, start + step), array[start : start + step]
            # The tile's probabilities never leave the cache: all that is needed of them is taken there.
            probabilities = np.exp(tile, out=buffer[: len(tile)])
            tile.argmax(axis=1, out=predicted[span])
            np.matmul(probabilities, ones, out=total[span])
            np.vecdot(probabilities, probabilities, out=square[span])
            place = starts[: len(tile)]
            confidence[span] = probabilities.ravel().take(place + predicted[span])
            label[span] = tile.ravel().take(place + truth[span])
        _check_sums(total)
        return cls(array, truth, predicted, -label, square - 2 * np.exp(label) + 1, confidence)

    def total(self) -> Summary:
        classes, labels = self.log_probs.shape[1], self.labels
        cells = np.bincount(labels * classes + self.predicted, minlength=classes * classes)
        cells = cells.reshape(classes, classes)
        return Summary(
            np.array(float(len(labels))),
            self.log_loss.sum(dtype=float),
            self.brier.sum(dtype=float),
            cells.diagonal().astype(float),
            cells.sum(axis=1).astype(float),
            cells.sum(axis=0).astype(float),
            _binned(self._bins, self._gap),
            _binned(self._bins_mass, self._gap),
            lambda: np.array(self._ranking.area),
            cells,
        )

    def resampled(self, groups: ArrayLike | None, resamples: int, seed: int) -> Summary:
        classes, random = self.log_probs.shape[1], np.random.default_rng(seed)
        unit, units = _units(len(self.labels), groups, classes, random)
        draws = random.integers(0, units, (resamples, units)) + np.arange(resamples)[:, None] * units
        times = np.bincount(draws.ravel(), minlength=resamples * units).astype(np.float32)
        times = times.reshape(resamples, units)

        def sums(
            values: ArrayLike | None = None, kind: NDArray[np.int64] | None = None, kinds: int = 1
        ) -> Floats:
            index = unit if kind is None else unit * kinds + kind
            table = np.bincount(index, None if values is None else np.asarray(values), units * kinds)
            product = times @ table.reshape(units, kinds).astype(np.float32)
            return product.astype(float) if kind is not None else product[:, 0].astype(float)

        count = sums()

        def area() -> Floats:
            return self._ranking.area + sums(self._ranking.influence) / count

        return Summary(
            count,
            sums(self.log_loss),
            sums(self.brier),
            sums(self._correct, self.labels, classes),
            sums(None, self.labels, classes),
            sums(None, self.predicted, classes),
            sums(self._gap, self._bins, BINS),
            sums(self._gap, self._bins_mass, BINS),
            area,
        )

    @cached_property
    def _ranking(self) -> Ranking:
        return Ranking(self.log_probs, self.labels)

    @cached_property
    def _correct(self) -> NDArray[np.bool_]:
        return self.predicted == self.labels

    @cached_property
    def _gap(self) -> Floats:
        return self.confidence - self._correct

    @cached_property
    def _bins(self) -> NDArray[np.int64]:
        # Closed above, as in Guo et al.; much quicker than a search among the edges.
        return np.maximum(np.ceil(self.confidence * BINS).astype(np.int64) - 1, 0)

    @cached_property
    def _bins_mass(self) -> NDArray[np.int64]:
        # Edges are quantiles, so equal confidences share a bin whatever the order of the rows.
        ordered = np.sort(self.confidence)
        place = np.linspace(0, len(ordered) - 1, BINS + 1)[1:-1]
        edges = np.interp(place, np.arange(len(ordered)), ordered).astype(ordered.dtype)
        # Bytes: a comparison is added sixteen at a time or more.
        bins = np.zeros(len(ordered), np.uint8)
        for edge in edges:
            bins += self.confidence > edge
        return bins.astype(np.int64)


def _binned(bins: NDArray[np.int64], values: Floats) -> Floats:
    return np.bincount(bins, values, BINS).astype(float)


def _units(
    rows: int, groups: ArrayLike | None, classes: int, random: np.random.Generator
) -> tuple[NDArray[np.int64], int]:
    """Return which resampled unit each row is in, and how many units there are."""
    most = int(np.clip(2**23 // classes, 256, _MOST_UNITS))
    unit = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1]
    units = int(unit.max()) + 1
    if units <= most:
        return unit, units
    return (random.permutation(units) % most)[unit], most


def _values(found: Summary, names: Iterable[str] | None) -> dict[str, float]:
    return {name: float(metric(name).function(found)) for name in (METRICS if names is None else names)}


def _checked(log_probs: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.int64]]:
    array, truth = np.asarray(log_probs), np.asarray(labels)
    array = array if array.dtype == np.float32 else array.astype(np.float64)
    if array.ndim != 2 or truth.shape != array.shape[:1] or not len(truth):
        raise DataError(
            "metrics",
            expected="log-probabilities [N, C] and labels [N]",
            got=f"{list(array.shape)} and {list(truth.shape)}",
        )
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

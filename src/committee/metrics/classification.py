"""Metrics of classifiers: each is a function of a summary."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from committee.base.objectives import is_custom
from committee.errors import DataError
from committee.metrics.averages import ClassAverage
from committee.metrics.binning import CalibrationError
from committee.metrics.custom import CustomMetric
from committee.metrics.metric import Metric, named
from committee.metrics.sampling import Interval, Rates, Sample, one_rate
from committee.metrics.summaries import Floats, Rows, Summary, summary

MOST_CLASSES = 4096
"""Largest number of classes of a whole confusion matrix."""


def _all() -> Iterable[Metric]:
    yield averaged("accuracy", "recall", "weighted")
    yield averaged("balanced_accuracy", "recall", "labels")
    for rate in ("f1", "precision", "recall"):
        for average in ("macro", "weighted"):
            yield averaged(f"{rate}_{average}", rate, average)
    yield _loss("log_loss", lambda rows: max(float(rows.log_loss.max()), math.log(rows.classes)))
    yield _loss("brier", lambda rows: 2.0)
    for name, kind in (("ece", ""), ("ece_mass", "_mass")):
        found = CalibrationError(kind)
        yield Metric(name, found, False, found.influence, found.interval, Rows.read)
    yield Metric(
        "auroc",
        lambda found: found.area(),
        True,
        lambda rows: rows.ranking.influence,
        _area,
        Rows.read,
        in_points=True,
    )
    yield _risk("aurc", 1.0)
    yield _risk("augrc", 0.5)


def averaged(name: str, rate: str, average: str) -> Metric:
    """Return the metric of a rate that is averaged over classes; see `ClassAverage`."""

    found = ClassAverage(rate, average)

    def exact(rows: Rows, sample: Sample, resamples: int, seed: int) -> Interval:
        return sample.proportion(rows.correct)

    def score(rows: Rows, sample: Sample, resamples: int, seed: int) -> Interval:
        return sample.score(float(found(rows.whole)), found.influence(rows), found.rates(rows))

    # The recall weighted by class size is the accuracy.
    is_accuracy = (rate, average) == ("recall", "weighted")
    interval = exact if is_accuracy else score
    return Metric(
        name,
        found,
        True,
        found.influence,
        interval,
        Rows.read,
        in_points=True,
        by_class=True,
        is_count=is_accuracy,
    )


def _loss(name: str, most: Callable[[Rows], float]) -> Metric:
    def function(found: Summary) -> Floats:
        sums: Floats = getattr(found, name)
        return sums / found.count

    def influence(rows: Rows) -> Floats:
        terms: Floats = getattr(rows, name)
        return terms - terms.mean(dtype=float)

    def interval(rows: Rows, sample: Sample, resamples: int, seed: int) -> Interval:
        return sample.mean(getattr(rows, name), most(rows))

    return Metric(name, function, False, influence, interval, Rows.read)


def _area(rows: Rows, sample: Sample, resamples: int, seed: int) -> Interval:
    """Return the area under the ROC curve with its score interval.

    The variance of an area near 1 is that of a rate of `4 m n / (m + n + 2)` rows, for m positives and n
    negatives (Hanley and McNeil 1982, with the balanced terms of Newcombe 2006).
    """
    areas, above = rows.ranking.areas, rows.ranking.positives.astype(float)
    totals = 4 * above * (sample.rows - above) / (sample.rows + 2)
    rates = Rates(areas * totals, totals, np.full(len(areas), 1 / max(len(areas), 1)))
    return sample.score(rows.ranking.area, _few(rows, rows.ranking.influence), rates)


def _few(rows: Rows, influence: Floats) -> Floats:
    """Return influences scaled for classes of few rows.

    The variance of the rows of a class is divided by their number minus one, and the quantile of the sum of
    these variances is that of Student's t with Satterthwaite's degrees of freedom.
    """
    number = np.maximum(rows.whole.actual, 2)
    influence = influence * np.sqrt(number / (number - 1))[rows.labels]
    parts = np.bincount(rows.labels, influence**2, len(number))
    freedom = parts.sum() ** 2 / max((parts**2 / (number - 1)).sum(), np.finfo(float).tiny)
    return influence * stdtrit(max(freedom, 1), 0.975) / ndtri(0.975)


def _risk(name: str, most: float) -> Metric:
    def function(found: Summary) -> Floats:
        area: Callable[[], Floats] = getattr(found, name)
        return area()

    def influence(rows: Rows) -> Floats:
        values: Floats = getattr(rows.risk, f"{name}_influence")
        return values

    def interval(rows: Rows, sample: Sample, resamples: int, seed: int) -> Interval:
        value = float(function(rows.whole))
        return sample.score(value, influence(rows), one_rate(value / most, sample.rows, most))

    return Metric(name, function, False, influence, interval, Rows.read)


METRICS: dict[str, Metric] = {metric.name: metric for metric in _all()}


def get_metric(name: str) -> Metric:
    """Return a metric by name; a function `python:module.function` is imported.

    Raises
    ------
    UnknownNameError
        There is no metric of this name; the message suggests the nearest one.
    UsageError
        The function cannot be imported.
    """
    if is_custom(name):
        return CustomMetric.load(name, "metric").as_metric(Rows.read)
    return named(name, METRICS)


def evaluate(log_probs: ArrayLike, labels: ArrayLike, names: Iterable[str] | None = None) -> dict[str, float]:
    """Return metrics of log-probabilities.

    Parameters
    ----------
    log_probs : float array [N, C]
        Normalized log-probabilities.
    labels : int array [N]
        Class indices.
    names : iterable of str, optional
        Keys of `METRICS`; all of them by default.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import evaluate
    >>> evaluate(np.log([[0.75, 0.25], [0.5, 0.5]]), [0, 0], ["accuracy", "brier"])
    {'accuracy': 1.0, 'brier': 0.3125}
    """
    return values(summary(log_probs, labels), METRICS if names is None else names)


def values(found: Summary, names: Iterable[str]) -> dict[str, float]:
    """Return the named metrics of a summary."""
    return {name: float(get_metric(name).function(found)) for name in names}


def per_class(found: Summary, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return `precision`, `recall`, `f1` and the number of labels `n` of each class.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import per_class, summary
    >>> log_probs = np.log([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    >>> per_class(summary(log_probs, [0, 1, 1]), ["cat", "dog"])[0]
    {'class': 'cat', 'precision': 0.5, 'recall': 1.0, 'f1': 0.6666666666666666, 'n': 1}
    """
    columns = (
        *(ClassAverage(rate, "macro").by_class(found) for rate in ("precision", "recall", "f1")),
        found.actual,
    )
    return [
        {"class": name, "precision": float(precision), "recall": float(recall), "f1": float(f1), "n": int(n)}
        for name, precision, recall, f1, n in zip(class_names, *columns, strict=True)
    ]


def confusion(found: Summary) -> NDArray[np.int64]:
    """Return the confusion matrix, int64 `[C, C]`: a row is a label, a column a predicted class.

    Raises
    ------
    DataError
        There are more than 4,096 classes; `mistakes` has no such limit.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import confusion, summary
    >>> log_probs = np.log([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    >>> confusion(summary(log_probs, [0, 1, 1])).tolist()
    [[1, 0], [1, 1]]
    """
    classes = len(found.actual)
    if classes > MOST_CLASSES:
        raise DataError(
            "confusion",
            expected=f"at most {MOST_CLASSES:,} classes",
            got=f"{classes:,}",
            todo="Use committee.metrics.mistakes, which lists the cells that are not zero.",
        )
    pairs, cells = found.pairs(), np.zeros((classes, classes), np.int64)
    cells[pairs[:, 0], pairs[:, 1]] = pairs[:, 2]
    return cells


def mistakes(found: Summary, most: int | None = None) -> NDArray[np.int64]:
    """Return the nonzero cells of the confusion matrix off its diagonal, most frequent first, int64 `[K, 3]`.

    Parameters
    ----------
    found : Summary
        The summary of a prediction.
    most : int, optional
        Largest number of cells; all by default.

    Returns
    -------
    int64 array [K, 3]
        Label, predicted class and number of rows of each cell.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import mistakes, summary
    >>> log_probs = np.log([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    >>> mistakes(summary(log_probs, [0, 1, 1])).tolist()
    [[1, 0, 1]]
    """
    pairs = found.pairs()
    wrong = pairs[pairs[:, 0] != pairs[:, 1]]
    return wrong[np.argsort(-wrong[:, 2], kind="stable")][:most]

"""Metrics of classifiers: each is a function of a summary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.errors import UnknownNameError, nearest
from committee.metrics.summaries import Floats, Summary, summary


@dataclass(frozen=True)
class Metric:
    """A metric: a function of a summary, and its direction.

    Attributes
    ----------
    name : str
        Its key in `METRICS`.
    function : callable
        From a `Summary` to a float array `[...]`: one value, or one for each resample.
    higher_is_better : bool
        Whether larger values are better.

    See Also
    --------
    get_metric : Look up a metric by name.
    evaluate : Compute metrics of log-probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import get_metric, summary
    >>> accuracy = get_metric("accuracy")
    >>> float(accuracy.function(summary(np.log([[0.75, 0.25], [0.5, 0.5]]), [0, 1])))
    0.5
    """

    name: str
    function: Callable[[Summary], Floats]
    higher_is_better: bool = True


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Divide, with 0 / 0 = 0 as in scikit-learn."""
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole != 0)


def _precision(found: Summary) -> Floats:
    return _ratio(found.hit, found.predicted)


def _recall(found: Summary) -> Floats:
    return _ratio(found.hit, found.actual)


def _f1(found: Summary) -> Floats:
    return _ratio(2 * found.hit, found.actual + found.predicted)


def _macro(by_class: Callable[[Summary], Floats]) -> Callable[[Summary], Floats]:
    """Return the mean over the classes that occur among the labels or the predictions."""

    def function(found: Summary) -> Floats:
        present = (found.actual + found.predicted) > 0
        return _ratio((by_class(found) * present).sum(axis=-1), present.sum(axis=-1).astype(float))

    return function


def _weighted(by_class: Callable[[Summary], Floats]) -> Callable[[Summary], Floats]:
    """Return the mean over classes, weighted by their number of labels."""
    return lambda found: _ratio((by_class(found) * found.actual).sum(axis=-1), found.count)


def _balanced(found: Summary) -> Floats:
    present = found.actual > 0
    return _ratio((_recall(found) * present).sum(axis=-1), present.sum(axis=-1).astype(float))


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
    """Return the expected calibration error of the top class (Naeini et al. 2015; Guo et al. 2017)."""
    return lambda found: _ratio(np.abs(getattr(found, field)).sum(axis=-1), found.count)


METRICS: dict[str, Metric] = {metric.name: metric for metric in _all()}


def get_metric(name: str) -> Metric:
    """Return a metric by name.

    Raises
    ------
    UnknownNameError
        There is no metric of this name; the message suggests the nearest one.
    """
    if name not in METRICS:
        raise UnknownNameError(
            "metric", expected=f"one of {', '.join(METRICS)}", got=f"'{name}'", todo=nearest(name, METRICS)
        )
    return METRICS[name]


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
    """Return `precision`, `recall`, `f1` and the number of labels `n` of each class."""
    columns = (_precision(found), _recall(found), _f1(found), found.actual)
    return [
        {"class": name, "precision": float(precision), "recall": float(recall), "f1": float(f1), "n": int(n)}
        for name, precision, recall, f1, n in zip(class_names, *columns, strict=True)
    ]


def confusion(found: Summary) -> NDArray[np.int64]:
    """Return the confusion matrix, int64 `[C, C]`: a row is a label, a column a predicted class."""
    assert found.cells is not None, "resampled summaries have no confusion matrix"
    return found.cells

"""Combination of predictions from files: join them, score all methods, apply the best one."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.base.folds import make_folds
from committee.base.objectives import AUTO, is_custom
from committee.combiners.base import COMBINERS, Combiner, build, check_choice
from committee.combiners.shared.serving import serving
from committee.errors import UsageError, first_five
from committee.metrics.metric import named
from committee.metrics.named import get_metric
from committee.pipeline.combination import Combination, Combined
from committee.pipeline.shared.budget import DEFAULT as DEFAULT_BUDGET
from committee.pipeline.shared.budget import announce, estimates, within
from committee.pipeline.shared.labeled_files import Files, joined, labeled, typed
from committee.pipeline.shared.test_files import same_members
from committee.predictions.reading import DEFAULT, Reading
from committee.predictions.table import Predictions
from committee.predictions.target_types import CLASSES
from committee.scoring.calibrations import CALIBRATIONS, calibrated, calibration_change
from committee.scoring.choice import contenders, ranked
from committee.scoring.scores import Scores, score_all
from committee.tasks.base import Task, task_for, task_of

log = logging.getLogger(__name__)

_NESTED = ("inner", "inputs")

Method = str | Mapping[str, Any]


def combine(
    files: Files | Predictions,
    labels: str | Path | None = None,
    *,
    methods: Sequence[Method] = (),
    test: Files | Predictions | None = None,
    folds: int | None = None,
    calibrate: str = AUTO,
    weights: Mapping[str, float] | None = None,
    metric: str = AUTO,
    space: str = "probability",
    seed: int = 0,
    task: str | None = None,
    budget: float | None = DEFAULT_BUDGET,
    reading: Reading = DEFAULT,
) -> Combination:
    """Combine the predictions of several models, and score each method by cross-fitting.

    Parameters
    ----------
    files : sequence of paths, or Predictions
        One file per model (NPZ, CSV, Parquet or safetensors; see `committee.predictions.files`), files
        `<model>_fold<k>` with the out-of-fold rows of one fold each, or folders that `Predictions.save`
        wrote. The models must not have been trained on the rows: use out-of-fold predictions, or predictions
        of a validation set.
    labels : path, optional
        A file of ids and labels, and optionally of folds and groups. By default, those in `files`.
    methods : sequence of str or mapping
        Names of combiners, or mappings with options as in a recipe, such as `{"combiner": "greedy_selection",
        "bags": 20}`; a `name` distinguishes two methods with the same combiner. By default, the combiners of
        members whose fits take less than `budget` together.
    test : sequence of paths, or Predictions, optional
        Predictions of other rows by the same models. They are matched by file name without the shared prefix
        and suffix (`a_oof`, `b_oof` match `a_test`, `b_test`) or, if the names do not match, by order.
    folds : int, optional
        The number of folds to draw for cross-fitting. By default, the folds in the files or, if there are
        none, up to 5 drawn folds.
    calibrate : str
        `pooled` (one temperature for the combined output), `vector` (a scale and a bias for each class of
        it), `members` (one temperature for each member before they are combined) or `none`. By default,
        `pooled` for classes and `none` for numbers, which have no temperature.
    weights : mapping of str to float, optional
        Weights for the method `weighted`; they are learned by default.
    metric : str
        The metric that ranks the methods, or `python:module.function` (see
        `committee.metrics.custom.CustomMetric`). Methods that learn weights or select members optimize it if
        it is a function or one of the objectives of the task, and the default otherwise: `log_loss` of
        classes, and `rmse` of numbers.
    space : str
        The space in which `weighted` averages: `probability` or `logit`.
    seed : int
        Seed of drawn folds and of bootstrap resamples.
    task : str, optional
        `classification` or `regression`. By default, what labels and predictions say; the log says why labels
        are read as numbers (see `committee.predictions.type_of_files.type_of`).
    budget : float, optional
        Estimated seconds for all fits together, if no methods are named. The cheapest methods run, and the
        log names the others with their times. None runs all methods.
    reading : Reading
        What the caller knows about the files: columns of ids and labels, and whether labels are positions.

    Returns
    -------
    Combination
        All methods, best first.

    Raises
    ------
    UsageError
        A file, method or option does not exist, or there are no labels.
    DataError
        Ids, classes or sums of probabilities do not agree.

    See Also
    --------
    committee.scoring.score_all : Score combiners on predictions that are joined already.

    Examples
    --------
    >>> from committee import combine
    >>> from committee.predictions import simulate
    >>> rows = simulate({"a": 2.0, "b": 2.0, "c": 2.0}, rows=900)
    >>> found = combine(rows, methods=["soft_voting", "weighted"])
    >>> found.best.method
    'soft_voting'
    >>> found.best.scores.gain["log_loss"].proven
    True
    """
    if metric != AUTO and not is_custom(metric):
        get_metric(metric)
    if calibrate != AUTO:
        check_choice("calibrate", calibrate, tuple(CALIBRATIONS))
    reading = typed(files, labels, task, reading)
    kind = task_for(reading.target_type or CLASSES)
    metric, calibrate = _of_task(kind, metric, calibrate)
    aim = metric if metric in kind.objectives or is_custom(metric) else kind.objectives[0]
    options = {"metric": aim, "space": space, "weights": weights, "seed": seed}
    combiners = _combiners(methods or plain_methods(kind), options)
    if weights is not None and "weighted" not in (each.key for each in combiners.values()):
        raise UsageError(
            "weights",
            expected="the method 'weighted'",
            got=first_five(combiners),
            todo="Add --method weighted.",
        )
    predictions = labeled(files, labels, reading)
    test_rows = None
    if test is not None:
        test_rows = same_members(joined(test, reading, average_folds=True), predictions)
    rows_by_fold = _folds(predictions, folds, seed)
    seconds = estimates(combiners, predictions, rows_by_fold, calibrate)
    if not methods:
        combiners = within(combiners, seconds, budget)
    announce({name: seconds[name] for name in combiners})
    scored = _scored(combiners, calibrate, predictions, rows_by_fold, seed)
    if is_custom(metric):
        scored = [replace(each, scores=_with_metric(each, metric, predictions)) for each in scored]
    return Combination(predictions, _ranked(scored, metric), metric, test_rows)


def _of_task(task: Task, metric: str, calibrate: str) -> tuple[str, str]:
    """Return the metric and the calibration, checked; `auto` is the default of the task."""
    if calibrate not in (AUTO, *task.calibrations):
        raise UsageError(
            "calibrate",
            expected=f"{' or '.join(task.calibrations)} for {task.target_type.name}",
            got=f"'{calibrate}'",
            todo="Leave it out.",
        )
    metric = task.objectives[0] if metric == AUTO else metric
    if is_custom(metric):
        task.metric(metric)
    else:
        named(metric, task.metrics)
    return metric, task.calibrations[0] if calibrate == AUTO else calibrate


def _folds(predictions: Predictions, folds: int | None, seed: int) -> NDArray[np.int64] | None:
    if folds is None:
        return None
    strata = predictions.strata("combine")
    return make_folds(strata, folds, groups=predictions.groups, seed=seed, rare=True)


def _combiners(methods: Sequence[Method], options: Mapping[str, Any]) -> dict[str, Combiner]:
    """Return the combiners by name; `options` are defaults for the combiners that have such options."""
    combiners: dict[str, Combiner] = {}
    for method in [methods] if isinstance(methods, str) else methods:
        own = {"combiner": method} if isinstance(method, str) else dict(method)
        given = own.pop("name", None)
        combiner = _combiner(own, options)
        name = str(given or combiner.key)
        if name in combiners and combiners[name].options() != combiner.options():
            raise UsageError(
                "methods",
                expected="a different name for each method",
                got=f"'{name}' twice",
                todo="Name one of them: {combiner: ..., name: ...}.",
            )
        combiners[name] = combiner
    return combiners


def _combiner(method: Mapping[str, Any], options: Mapping[str, Any]) -> Combiner:
    key = method.get("combiner")
    if not isinstance(key, str):
        return build(method)
    if key not in COMBINERS.names():
        key = key.removesuffix("_ensemble")
    known = COMBINERS.options(key)
    shared = {name: value for name, value in options.items() if name in known}
    return build({**shared, **method, "combiner": key})


def plain_methods(task: Task) -> list[str]:
    """Return the names of the combiners of a task that combine members, rather than other combiners."""
    return [name for name in serving(task) if not {*_NESTED} & {*COMBINERS.options(name)}]


def _scored(
    combiners: Mapping[str, Combiner],
    calibrate: str,
    predictions: Predictions,
    folds: NDArray[np.int64] | None,
    seed: int,
) -> list[Combined]:
    wrapped = {key: calibrated(each, calibrate, seed) for key, each in combiners.items()}
    found = score_all(wrapped, predictions, folds=folds, seed=seed)
    return [Combined(key, *found[key], _calibration(calibrate, found[key][1])) for key in combiners]


def _calibration(how: str, scores: Scores) -> dict[str, Any] | None:
    return None if how == "none" else {"method": how, **calibration_change(scores)}


def _with_metric(found: Combined, metric: str, predictions: Predictions) -> Scores:
    """Return the scores of a method with a metric that is a function of the user."""
    scores, labels, task = found.scores, predictions.require_labels("combine"), task_of(predictions)
    on_fit = found.combiner.combine(predictions.logits)
    held_out = task.intervals(scores.held_out, labels, groups=predictions.groups, names=[metric])
    return replace(
        scores,
        fit={**scores.fit, **task.evaluate(on_fit, labels, [metric])},
        cross_fitted={**scores.cross_fitted, **held_out},
    )


def _ranked(methods: Sequence[Combined], metric: str) -> list[Combined]:
    if all(math.isnan(each.scores.cross_fitted[metric].value) for each in methods):
        raise UsageError(
            "metric", expected="one that is defined on these rows", got=f"'{metric}', which is not"
        )
    named = {each.method: each for each in methods}
    return [named[each.name] for each in ranked(contenders(methods, metric))]

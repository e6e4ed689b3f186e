"""Combine predictions that were made anywhere: read files, join them, score every method, apply the best."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.base.folds import check_folds, make_folds
from committee.combiners._calibrations import CALIBRATIONS, calibrated
from committee.combiners.base import COMBINERS, Combiner, build, check_choice
from committee.errors import UsageError, first_five
from committee.metrics.classification import evaluate
from committee.metrics.classification import metric as known_metric
from committee.predictions.files.base import member_names, read, read_labels
from committee.predictions.table import Predictions
from committee.scoring.scoring import Scores, calibration_change, score_all
from committee.solvers.mixture import COUNT_METRICS

log = logging.getLogger(__name__)

_NESTED = ("inner", "inputs")

Files = Sequence[str | Path]
Method = str | Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Combined:
    """One method, fitted and scored.

    Attributes
    ----------
    method : str
        Key of the combiner, before calibration, or the name that it was given.
    combiner : Combiner
        Fitted on all rows, with its calibration.
    scores : Scores
        Cross-fitted metrics, their gain over the best single member, and the metrics of the fit.
    calibration : dict or None
        What calibration changed: `method`, and `log_loss` and `ece` `before` and `after`, cross-fitted.
    """

    method: str
    combiner: Combiner
    scores: Scores
    calibration: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values: method, members, weights, notes, calibration and scores."""
        return {
            "method": self.method,
            "members": list(self.combiner.member_names),
            "weights": self.combiner.member_weights(),
            "notes": self.combiner.notes(),
            "calibration": self.calibration,
            "scores": self.scores.to_json(),
        }


@dataclass(frozen=True, eq=False)
class Combination:
    """All methods on the same predictions.

    Attributes
    ----------
    predictions : Predictions
        The members' joined predictions.
    methods : list of Combined
        Best cross-fitted `metric` first.
    metric : str
        What they are ranked by.
    test : Predictions or None
        The members' predictions of other rows.
    """

    predictions: Predictions
    methods: list[Combined]
    metric: str
    test: Predictions | None

    @property
    def best(self) -> Combined:
        """The method with the best cross-fitted metric."""
        return self.methods[0]

    @cached_property
    def alone(self) -> dict[str, dict[str, float]]:
        """Metrics of each member alone, best first."""
        labels, rows = self.predictions.require_labels("combine"), self.predictions.logits
        rule = build("soft_voting")
        shown = dict.fromkeys(("accuracy", "log_loss", "ece", self.metric))
        found = {
            name: evaluate(rule.combine(rows[place : place + 1]), labels, shown)
            for place, name in enumerate(self.predictions.members)
        }
        return dict(sorted(found.items(), key=lambda item: _rank(item[1][self.metric], self.metric)))

    def test_probabilities(self) -> NDArray[np.float32]:
        """Return the best method's probabilities of the test rows, float32 `[N, C]`."""
        if self.test is None:
            raise UsageError("combine", expected="test files", got="none")
        return np.exp(self.best.combiner.combine(self.test.logits))


def combine(
    files: Files | Predictions,
    labels: str | Path | None = None,
    *,
    methods: Sequence[Method] = (),
    test: Files | Predictions | None = None,
    folds: int | None = None,
    calibrate: str = "none",
    weights: Mapping[str, float] | None = None,
    metric: str = "log_loss",
    space: str = "probability",
    seed: int = 0,
) -> Combination:
    """Combine the predictions of several models and say, cross-fitted, what that is worth.

    Parameters
    ----------
    files : sequence of paths, or Predictions
        One file a model (NPZ, CSV, Parquet or safetensors; see `committee.predictions.files`), or folders
        that `Predictions.save` wrote. Rows must be unseen: out-of-fold, or kept apart from training.
    labels : path, optional
        A file of ids and labels, with folds and groups where it has them; left out, those in `files`.
    methods : sequence of str or mapping
        Combiners by their names, or with options as in a recipe, such as `{"combiner": "greedy_selection",
        "bags": 20}`, and a `name` where one combiner is there twice. When empty, all that combine members,
        but for those whose fit would take long; the log names these.
    test : sequence of paths, or Predictions, optional
        Other rows of the same models: by the names of the files, whose common beginning and end do not count
        (`a_oof`, `b_oof` and `a_test`, `b_test`); where these differ too, in their order.
    folds : int, optional
        Draw so many folds for cross-fitting. Left out: the folds in the files, or at most 5 drawn ones.
    calibrate : str
        `pooled` (one temperature for the result), `members` (one for each member before it) or `none`.
    weights : mapping of str to float, optional
        Weights for the method `weighted`, instead of learned ones.
    metric : str
        What methods are ranked by. Those that learn weights or choose members optimize it too, if it is
        `accuracy` or `f1_macro`, else the log-loss.
    space : str
        Where `weighted` averages: `probability` or `logit`.
    seed : int
        Draws folds and resamples.

    Raises
    ------
    UsageError
        A file, method or option that does not exist, or no labels.
    DataError
        Predictions whose ids, classes or row sums do not fit.
    """
    known_metric(metric)
    check_choice("calibrate", calibrate, tuple(CALIBRATIONS))
    aim = metric if metric in COUNT_METRICS else "log_loss"
    options = {"metric": aim, "space": space, "weights": weights, "seed": seed}
    combiners = _rules(methods or _plain_methods(), options)
    if weights is not None and "weighted" not in (each.key for each in combiners.values()):
        raise UsageError(
            "weights",
            expected="the method 'weighted'",
            got=first_five(combiners),
            todo="Add --method weighted.",
        )
    predictions = _labeled(files, labels)
    if not methods:
        combiners = _affordable(combiners, predictions)
    other = None if test is None else _same_members(_joined(test), predictions)
    scored = _scored(combiners, calibrate, predictions, _folds(predictions, folds, seed), seed)
    ranked = sorted(scored, key=lambda each: _rank(each.scores.cross_fitted[metric].value, metric))
    return Combination(predictions, ranked, metric, other)


def _joined(files: Files | Predictions) -> Predictions:
    if isinstance(files, Predictions):
        return files
    paths = [Path(file) for file in files]
    if not paths:
        raise UsageError("combine", expected="at least one file of predictions", got="none")
    return Predictions.join([read(path, name) for path, name in zip(paths, member_names(paths), strict=True)])


def _labeled(files: Files | Predictions, labels: str | Path | None) -> Predictions:
    predictions = _joined(files)
    if labels is not None:
        table = read_labels(Path(labels))
        assert table.labels is not None
        predictions = predictions.with_labels(
            table.ids, table.labels, folds=table.folds, groups=table.groups, who=str(labels)
        )
        if len(table.ids) > len(predictions):
            log.info("%s: %d labels have no predictions", labels, len(table.ids) - len(predictions))
    if predictions.labels is None:
        raise UsageError(
            "combine",
            expected="labels of the samples",
            got="none",
            todo="Name a file with the columns id,label: --labels FILE",
        )
    return predictions


def _same_members(test: Predictions, fitted: Predictions) -> Predictions:
    """Return test predictions with the members and classes in the order of those that were fitted."""
    if set(test.members) == set(fitted.members):
        test = test.select(fitted.members)
    elif len(test.members) == len(fitted.members) and not set(test.members) & set(fitted.members):
        test = replace(test, members=tuple(_counterparts(test.members, fitted.members)))
        test = test.select(fitted.members)
    else:
        raise UsageError(
            "--test",
            expected=f"the members {first_five(fitted.members)}",
            got=first_five(test.members),
            todo="Name the files alike, or give as many in the same order.",
        )
    return test.with_classes(fitted.class_names, of="that were fitted")


def _counterparts(test: Sequence[str], fitted: Sequence[str]) -> list[str]:
    """Return which fitted member each of `test` is: by what tells the names apart, or else by their order.

    A shell lists `*_test.npz` by the alphabet, so the order alone would mix up the members.
    """
    known = dict(zip(_cores(fitted), fitted, strict=True))
    by_name = [known.get(core) for core in _cores(test)]
    found = [name for name in by_name if name is not None]
    if {*found} == {*fitted}:
        return found
    pairs = ", ".join(f"{new} is {old}" for new, old in zip(test, fitted, strict=True))
    log.warning("test files are taken in the order of the files: %s", pairs)
    return list(fitted)


def _cores(names: Sequence[str]) -> list[str]:
    """Return the names without the beginning and the end that all share: `a`, `b` of `a_test`, `b_test`."""
    rest = [name[_shared(names) :] for name in names]
    end = _shared([name[::-1] for name in rest])
    return [name[: len(name) - end] for name in rest]


def _shared(names: Sequence[str]) -> int:
    """Return how many letters at the beginning are the same in all names."""
    return sum(1 for _ in takewhile(lambda letters: len({*letters}) == 1, zip(*names, strict=False)))


def _folds(predictions: Predictions, folds: int | None, seed: int) -> NDArray[np.int64] | None:
    labels, classes = predictions.require_labels("combine"), predictions.class_names
    if folds is not None:
        return make_folds(labels, folds, groups=predictions.groups, seed=seed, class_names=classes)
    if predictions.folds is not None:
        check_folds(predictions.folds, labels, predictions.groups, class_names=classes)
    return predictions.folds


def _rules(methods: Sequence[Method], options: Mapping[str, Any]) -> dict[str, Combiner]:
    """Return the combiners by their names; each takes those of `options` that it has and nobody gave it."""
    rules: dict[str, Combiner] = {}
    for method in methods:
        own = {"combiner": method} if isinstance(method, str) else dict(method)
        given = own.pop("name", None)
        rule = _combiner(own, options)
        name = str(given or rule.key)
        if name in rules and rules[name].options() != rule.options():
            raise UsageError(
                "methods",
                expected="a name of its own for each method",
                got=f"'{name}' twice",
                todo="Give one another: {combiner: ..., name: ...}.",
            )
        rules[name] = rule
    return rules


def _combiner(method: Mapping[str, Any], options: Mapping[str, Any]) -> Combiner:
    key = method.get("combiner")
    if not isinstance(key, str):
        return build(method)
    if key not in COMBINERS.names():
        key = key.removesuffix("_ensemble")
    known = COMBINERS.options(key)
    shared = {name: value for name, value in options.items() if name in known}
    return build({**shared, **method, "combiner": key})


def _plain_methods() -> list[str]:
    """Return the combiners that combine members, rather than other combiners."""
    return [name for name in COMBINERS.names() if not {*_NESTED} & {*COMBINERS.options(name)}]


def _affordable(combiners: Mapping[str, Combiner], predictions: Predictions) -> dict[str, Combiner]:
    members, rows, classes = predictions.logits.shape
    kept = {key: each for key, each in combiners.items() if each.affordable(members, rows, classes)}
    left_out = [key for key in combiners if key not in kept]
    if left_out:
        log.info("left out, for they would take long here: %s; name them to have them", ", ".join(left_out))
    return kept


def _scored(
    combiners: Mapping[str, Combiner],
    calibrate: str,
    predictions: Predictions,
    folds: NDArray[np.int64] | None,
    seed: int,
) -> list[Combined]:
    if calibrate == "none":
        found = score_all(combiners, predictions, folds=folds, seed=seed)
        return [Combined(key, *found[key], None) for key in combiners]
    # Both are scored at once, for a calibration is only worth what it changes.
    wrapped = {f"{key}+": calibrated(each, calibrate, seed) for key, each in combiners.items()}
    found = score_all({**combiners, **wrapped}, predictions, folds=folds, seed=seed)
    return [
        Combined(
            key,
            *found[f"{key}+"],
            {"method": calibrate, **calibration_change(found[key][1], found[f"{key}+"][1])},
        )
        for key in combiners
    ]


def _rank(value: float, metric: str) -> float:
    """Return a number that sorts the best first, and what is undefined last."""
    if math.isnan(value):
        return math.inf
    return -value if known_metric(metric).higher_is_better else value

"""Scores of combiners that people can trust: cross-fitted, with intervals, against the best single member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from committee.combiners import _crossfit
from committee.combiners._leave_out import without
from committee.combiners.base import Combiner
from committee.metrics.classification import Interval, Summary, evaluate, intervals, resampled, summary
from committee.metrics.classification import metric as named
from committee.predictions.table import Predictions
from committee.solvers.columns import columns
from committee.solvers.mixture import COUNT_METRICS, count_score
from committee.solvers.newton import best_temperature

GAINS = ("accuracy", "f1_macro", "log_loss")
_IN_POINTS = ("accuracy", "f1", "precision", "recall", "auroc")
_TILE = 2**18

LogProbs = NDArray[np.float32]
Folds = NDArray[np.int64]


@dataclass(frozen=True)
class Gain:
    """A paired difference between two predictions of the same rows; positive is better.

    Attributes
    ----------
    metric : str
        What is compared.
    value, low, high : float
        The difference, and its bootstrap interval.
    proven : bool
        Whether the whole interval is above zero.
    against : str
        What the baseline is.
    """

    metric: str
    value: float
    low: float
    high: float
    proven: bool
    against: str

    @property
    def text(self) -> str:
        """Return the gain in words, or `no proven gain`."""
        if not self.proven:
            return "no proven gain"
        if self.metric.split("_")[0] in _IN_POINTS or self.metric == "balanced_accuracy":
            low, value, high = (f"{100 * end:.1f}" for end in (self.low, self.value, self.high))
            return f"+{value} points {self.metric} [{low}, {high}]"
        return f"{self.metric} lower by {self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, with the words."""
        return {**asdict(self), "text": self.text}


@dataclass(frozen=True)
class Scores:
    """What a combiner is worth on the rows it can learn from.

    Attributes
    ----------
    fit : dict of str to float
        Metrics on the rows that the fit saw: flattering, for comparison only.
    cross_fitted : dict of str to Interval
        Metrics of rows combined by fits that did not see them.
    gain : dict of str to Gain
        Cross-fitted difference to the best single member, chosen inside the folds by the same metric; where
        the combiner calibrates, that member has a temperature too, fitted inside the folds.
    held_out : float32 array [N, C]
        Log-probabilities of those rows, each combined by a fit that did not see it.
    """

    fit: dict[str, float]
    cross_fitted: dict[str, Interval]
    gain: dict[str, Gain]
    held_out: LogProbs = field(repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; a gain has its `text` too."""
        return {
            "fit": self.fit,
            "cross_fitted": {name: asdict(interval) for name, interval in self.cross_fitted.items()},
            "gain": {name: gain.to_json() for name, gain in self.gain.items()},
        }


def cross_fit(
    combiner: Combiner, predictions: Predictions, *, folds: Folds | None = None, seed: int = 0
) -> LogProbs:
    """Return log-probabilities, float32 `[N, C]`, of rows combined by fits that did not see them.

    Parameters
    ----------
    combiner : Combiner
        Cloned for each fold; itself left as it is.
    predictions : Predictions
        Labeled, where the combiner learns.
    folds : int64 array [N], optional
        Fold of each row: those of the predictions when left out, or drawn where these have none.
    seed : int
        Draws folds.

    Raises
    ------
    LeakError
        A member was trained on one of the rows.
    """
    if not combiner.learns:
        return _crossfit.cross_fit(combiner, predictions)
    return _crossfit.cross_fit(combiner, predictions, _folds(predictions, folds, seed))


def score(
    combiner: Combiner, predictions: Predictions, *, folds: Folds | None = None, seed: int = 0
) -> tuple[Combiner, Scores]:
    """Return the combiner fitted on all rows, and its scores; see `score_all`."""
    return score_all({"it": combiner}, predictions, folds=folds, seed=seed)["it"]


def score_all(
    combiners: Mapping[str, Combiner],
    predictions: Predictions,
    *,
    folds: Folds | None = None,
    seed: int = 0,
) -> dict[str, tuple[Combiner, Scores]]:
    """Fit several combiners and score them on the same folds and resamples, reading the rows of a fold once.

    Parameters
    ----------
    combiners : mapping of str to Combiner
        Cloned; left as they are.
    predictions : Predictions
        Labeled rows that no member was trained on.
    folds, seed
        As for `cross_fit`; the seed draws the resamples too.

    Returns
    -------
    dict of str to (Combiner, Scores)
        Combiners fitted on all rows.
    """
    labels = predictions.require_labels("score")
    folds = _folds(predictions, folds, seed)
    baselines = Baselines(predictions, folds, seed)
    held_out = _crossfit.cross_fit_all(list(combiners.values()), predictions, folds)
    result = {}
    for (name, combiner), log_probs in zip(combiners.items(), held_out, strict=True):
        fitted = combiner.clone().fit(predictions)
        seen = fitted.combine(predictions.logits) if combiner.learns else log_probs
        cross_fitted = intervals(log_probs, labels, groups=predictions.groups, seed=seed)
        gains = baselines.gains(log_probs, combiner.calibrates)
        result[name] = fitted, Scores(evaluate(seen, labels), cross_fitted, gains, log_probs)
    return result


def calibration_change(before: Scores, after: Scores) -> dict[str, dict[str, float]]:
    """Return the cross-fitted `log_loss` and `ece`, each `before` and `after` a calibration."""
    old, new = before.cross_fitted, after.cross_fitted
    return {name: {"before": old[name].value, "after": new[name].value} for name in ("log_loss", "ece")}


def best_single(
    predictions: Predictions, folds: Folds, metric: str = "log_loss", *, calibrated: bool = False
) -> tuple[LogProbs, dict[int, str]]:
    """Return the log-probabilities `[N, C]` of the best member, chosen for each fold on the other folds.

    Ties go by member name. `calibrated` gives it a temperature, fitted on the other folds too.

    Returns
    -------
    log_probs : float32 [N, C]
    chosen : dict of int to str
        Fold -> member.

    Raises
    ------
    LeakError
        A member was trained on one of the rows.
    """
    predictions.require_unseen("best_single")
    known, labels = columns(predictions), predictions.require_labels("best_single")
    order = sorted(range(len(predictions.members)), key=lambda member: predictions.members[member])
    result = np.empty(predictions.logits.shape[1:], np.float32)
    chosen = {}
    for fold in np.unique(folds):
        rows, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        best = max(order, key=lambda member: _member_score(predictions, member, others, metric))
        result[rows] = predictions.logits[best, rows] - known.normalizer[best, rows, None]
        if calibrated:
            result[rows] = _tempered(result[rows], predictions.logits[best, others], labels[others])
        chosen[int(fold)] = predictions.members[best]
    return result, chosen


def gain(
    candidate: LogProbs,
    baseline: LogProbs,
    labels: NDArray[np.int64],
    *,
    metric: str = "log_loss",
    groups: NDArray[np.int64] | None = None,
    seed: int = 0,
    resamples: int = 1000,
    against: str = "baseline",
) -> Gain:
    """Return by how much a candidate is better than a baseline, with a paired bootstrap interval.

    Parameters
    ----------
    candidate, baseline : float32 [N, C]
        Log-probabilities of the same rows.
    labels : int64 [N]
        Class indices.
    metric : str
        A key of `committee.metrics.classification.METRICS`.
    groups : int64 [N], optional
        Resampled whole.
    seed, resamples : int
        Of the bootstrap.
    against : str
        What the baseline is, for people.
    """
    drawn, other = (_Drawn.of(array, labels, groups, seed, resamples) for array in (candidate, baseline))
    return _gain(drawn, other, against, metric)


def contributions(
    combiner: Combiner,
    predictions: Predictions,
    metric: str = "log_loss",
    *,
    folds: Folds | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Return how much worse the cross-fitted metric gets when a member is left out; negative: it gets better.

    A member without which the combiner has nothing left to combine is not in the result.
    """
    labels = predictions.require_labels("contributions")
    folds = _folds(predictions, folds, seed)
    sign = 1 if named(metric).higher_is_better else -1

    def value(rule: Combiner, rows: Predictions) -> float:
        held_out = cross_fit(rule, rows, folds=folds)
        return sign * evaluate(held_out, labels, [metric])[metric]

    whole, result = value(combiner, predictions), {}
    for member in predictions.members:
        smaller = without(combiner, member, predictions.members)
        if smaller is not None:
            rest = [name for name in predictions.members if name != member]
            result[member] = whole - value(smaller, predictions.select(rest))
    return result


def disagreement(predictions: Predictions, top: int = 20) -> list[dict[str, Any]]:
    """Return the samples on which members disagree most.

    Parameters
    ----------
    predictions : Predictions
        With or without labels.
    top : int
        How many samples.

    Returns
    -------
    list of dict
        `sample_id`, `label` (class name or None), `votes` (class name -> members) and `disagreement`: the
        Jensen-Shannon divergence of the members in nats, highest first.
    """
    amount = _divergence(predictions.logits)
    names, labels = predictions.class_names, predictions.labels
    return [
        {
            "sample_id": str(predictions.sample_ids[row]),
            "label": None if labels is None else names[labels[row]],
            "votes": _votes(predictions.logits[:, row], names),
            "disagreement": float(amount[row]),
        }
        for row in np.argsort(-amount, kind="stable")[:top]
    ]


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A prediction's summary, and those of its resamples."""

    whole: Summary
    resamples: Summary

    @classmethod
    def of(
        cls,
        log_probs: LogProbs,
        labels: NDArray[np.int64],
        groups: NDArray[np.int64] | None,
        seed: int,
        resamples: int = 1000,
    ) -> _Drawn:
        draws = resampled(log_probs, labels, groups=groups, resamples=resamples, seed=seed)
        return cls(summary(log_probs, labels), draws)


class Baselines:
    """The best single member by each metric of `GAINS`, drawn once for all candidates."""

    def __init__(self, predictions: Predictions, folds: Folds, seed: int) -> None:
        self._predictions, self._folds, self._seed = predictions, folds, seed
        self._labels, self._groups = predictions.require_labels("score"), predictions.groups
        self._drawn: dict[tuple[str, bool], tuple[_Drawn, str]] = {}

    def gains(self, log_probs: LogProbs, calibrated: bool = False) -> dict[str, Gain]:
        """Return by how much log-probabilities `[N, C]` of the same rows are better than that."""
        candidate = self._draw(log_probs)
        return {name: _gain(candidate, *self._baseline(name, calibrated), name) for name in GAINS}

    def _baseline(self, metric: str, calibrated: bool) -> tuple[_Drawn, str]:
        # A temperature moves no row to another class.
        key = metric, calibrated and metric == "log_loss"
        if key not in self._drawn:
            log_probs, chosen = best_single(self._predictions, self._folds, metric, calibrated=key[1])
            what = "best single member, calibrated" if key[1] else "best single member"
            self._drawn[key] = self._draw(log_probs), f"{what} ({', '.join(sorted(set(chosen.values())))})"
        return self._drawn[key]

    def _draw(self, log_probs: LogProbs) -> _Drawn:
        return _Drawn.of(log_probs, self._labels, self._groups, self._seed)


def _gain(candidate: _Drawn, baseline: _Drawn, against: str, metric: str) -> Gain:
    measure = named(metric)
    sign = 1 if measure.higher_is_better else -1
    value = sign * float(measure.function(candidate.whole) - measure.function(baseline.whole))
    draws = sign * (measure.function(candidate.resamples) - measure.function(baseline.resamples))
    low, high = np.quantile(draws, [0.025, 0.975])
    return Gain(metric, value, float(low), float(high), bool(low > 0), against)


def _folds(predictions: Predictions, folds: Folds | None, seed: int) -> Folds:
    if folds is not None:
        return folds
    return _crossfit.redraw_folds(predictions, seed) if predictions.folds is None else predictions.folds


def _member_score(predictions: Predictions, member: int, rows: NDArray[np.int64], metric: str) -> float:
    """Return a member's metric on some rows; larger is better."""
    known, labels = columns(predictions), predictions.require_labels("score")
    if metric == "log_loss":
        return float(known.label[member, rows].mean(dtype=np.float64))
    if metric in COUNT_METRICS:
        classes = len(predictions.class_names)
        return count_score(metric, known.guess[member, rows], labels[rows], classes)
    log_probs = predictions.logits[member, rows] - known.normalizer[member, rows, None]
    value = evaluate(log_probs, labels[rows], [metric])[metric]
    return value if named(metric).higher_is_better else -value


def _tempered(log_probs: LogProbs, others: LogProbs, labels: NDArray[np.int64]) -> LogProbs:
    """Return log-probabilities at the temperature that is best for other rows of the same member."""
    scaled = torch.from_numpy(log_probs) / best_temperature(np.asarray(others), labels)
    return scaled.log_softmax(dim=1).numpy()


def _divergence(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the entropy of the mean minus the mean entropy, float32 `[N]`, in nats."""
    members, rows, classes = logits.shape
    result = np.empty(rows, np.float32)
    block = max(16, _TILE // (members * classes))
    for start in range(0, rows, block):
        tile = torch.from_numpy(np.array(logits[:, start : start + block])).log_softmax(dim=2)
        mean = tile.logsumexp(dim=0) - np.log(members)
        spread = (tile.exp() * tile).sum(dim=2).mean(dim=0) - (mean.exp() * mean).sum(dim=1)
        result[start : start + block] = spread.clamp_min(0).numpy()
    return result


def _votes(logits: NDArray[np.float32], names: Sequence[str]) -> dict[str, int]:
    count = np.bincount(logits.argmax(axis=1), minlength=len(names))
    return {names[label]: int(count[label]) for label in np.argsort(-count, kind="stable") if count[label]}

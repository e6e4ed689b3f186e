"""Paired differences between two predictions of the same rows, and the best single member as a baseline."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from committee.metrics.classification import evaluate, get_metric
from committee.metrics.summaries import Summary, resampled, summary
from committee.predictions.table import Predictions
from committee.solvers.columns import columns
from committee.solvers.mixture import COUNT_METRICS, count_score
from committee.solvers.newton import best_temperature

GAINS = ("accuracy", "f1_macro", "log_loss")
"""The metrics whose gains are part of the scores of a combiner."""
_IN_POINTS = ("accuracy", "f1", "precision", "recall", "auroc")

LogProbs = NDArray[np.float32]
Folds = NDArray[np.int64]


@dataclass(frozen=True)
class Gain:
    """A paired difference between two predictions of the same rows; positive means better.

    Attributes
    ----------
    metric : str
        The metric that is compared.
    value, low, high : float
        The difference and its 95% bootstrap interval, positive if the candidate is better.
    proven : bool
        Whether the whole interval is above zero.
    against : str
        Description of the baseline.

    See Also
    --------
    gain : Compute the gain of a candidate over a baseline.

    Examples
    --------
    >>> from committee.scoring import Gain
    >>> Gain("accuracy", 0.02, 0.01, 0.03, proven=True, against="best single member (a)").text
    '+2.0 points accuracy [1.0, 3.0]'
    >>> Gain("accuracy", 0.02, -0.01, 0.05, proven=False, against="best single member (a)").text
    'no proven gain'
    """

    metric: str
    value: float
    low: float
    high: float
    proven: bool
    against: str

    @property
    def text(self) -> str:
        """The gain as text, or `no proven gain`."""
        if not self.proven:
            return "no proven gain"
        if self.metric.split("_")[0] in _IN_POINTS or self.metric == "balanced_accuracy":
            low, value, high = (f"{100 * end:.1f}" for end in (self.low, self.value, self.high))
            return f"+{value} points {self.metric} [{low}, {high}]"
        return f"{self.metric} lower by {self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, the `text` included."""
        return {**asdict(self), "text": self.text}


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
    candidate, baseline : float32 array [N, C]
        Log-probabilities of the same rows.
    labels : int64 array [N]
        Class indices.
    metric : str
        A key of `committee.metrics.classification.METRICS`.
    groups : int64 array [N], optional
        Groups that are resampled as a whole.
    seed, resamples : int
        Seed and number of bootstrap resamples.
    against : str
        Description of the baseline for reports.
    """
    better, worse = (_Resampled.of(each, labels, groups, seed, resamples) for each in (candidate, baseline))
    return _gain(better, worse, against, metric)


def best_single(
    predictions: Predictions, folds: Folds, metric: str = "log_loss", *, calibrated: bool = False
) -> tuple[LogProbs, dict[int, str]]:
    """Return the predictions of the best member, which is chosen for each fold on the other folds.

    Parameters
    ----------
    predictions : Predictions
        Labeled rows that no member was trained on.
    folds : int64 array [N]
        Fold of each row.
    metric : str
        The metric of the choice. Ties are broken by member name.
    calibrated : bool
        Whether the member gets a temperature, fitted on the other folds.

    Returns
    -------
    log_probs : float32 array [N, C]
    chosen : dict of int to str
        Name of the member by fold.

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


class Baselines:
    """The best single member by each metric of `GAINS`, resampled once for all candidates.

    Parameters
    ----------
    predictions : Predictions
        Labeled rows that no member was trained on.
    folds : int64 array [N]
        The folds in which the best member is chosen.
    seed : int
        Seed of the bootstrap.

    See Also
    --------
    best_single : The predictions of the best single member.
    gain : The gain over any other baseline.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.predictions import simulate
    >>> from committee.scoring import Baselines
    >>> rows = simulate({"a": 2.0, "b": 2.0}, rows=200)
    >>> baselines = Baselines(rows, folds=np.arange(200) % 5, seed=0)
    >>> perfect = np.log(np.eye(3)[rows.labels] * 0.97 + 0.01).astype(np.float32)
    >>> baselines.gains(perfect)["accuracy"].proven
    True
    """

    def __init__(self, predictions: Predictions, folds: Folds, seed: int) -> None:
        self._predictions, self._folds, self._seed = predictions, folds, seed
        self._labels, self._groups = predictions.require_labels("score"), predictions.groups
        self._known: dict[tuple[str, bool], tuple[_Resampled, str]] = {}

    def gains(self, log_probs: LogProbs, calibrated: bool = False) -> dict[str, Gain]:
        """Return the gains of log-probabilities `[N, C]` of the same rows over the best single member.

        With `calibrated`, the member is calibrated before its log-loss is compared.
        """
        candidate = self._resampled(log_probs)
        return {name: _gain(candidate, *self._baseline(name, calibrated), name) for name in GAINS}

    def _baseline(self, metric: str, calibrated: bool) -> tuple[_Resampled, str]:
        # A temperature does not change the predicted class.
        key = metric, calibrated and metric == "log_loss"
        if key not in self._known:
            log_probs, chosen = best_single(self._predictions, self._folds, metric, calibrated=key[1])
            what = "best single member, calibrated" if key[1] else "best single member"
            names = ", ".join(sorted(set(chosen.values())))
            self._known[key] = self._resampled(log_probs), f"{what} ({names})"
        return self._known[key]

    def _resampled(self, log_probs: LogProbs) -> _Resampled:
        return _Resampled.of(log_probs, self._labels, self._groups, self._seed)


@dataclass(frozen=True, eq=False)
class _Resampled:
    """The summary of a prediction, and the summaries of its bootstrap resamples."""

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
    ) -> _Resampled:
        draws = resampled(log_probs, labels, groups=groups, resamples=resamples, seed=seed)
        return cls(summary(log_probs, labels), draws)


def _gain(candidate: _Resampled, baseline: _Resampled, against: str, metric: str) -> Gain:
    measure = get_metric(metric)
    sign = 1 if measure.higher_is_better else -1
    value = sign * float(measure.function(candidate.whole) - measure.function(baseline.whole))
    draws = sign * (measure.function(candidate.resamples) - measure.function(baseline.resamples))
    low, high = np.quantile(draws, [0.025, 0.975])
    return Gain(metric, value, float(low), float(high), bool(low > 0), against)


def _member_score(predictions: Predictions, member: int, rows: NDArray[np.int64], metric: str) -> float:
    """Return the metric of a member on some rows, with a sign such that larger is better."""
    known, labels = columns(predictions), predictions.require_labels("score")
    if metric == "log_loss":
        return float(known.label[member, rows].mean(dtype=np.float64))
    if metric in COUNT_METRICS:
        classes = len(predictions.class_names)
        return count_score(metric, known.guess[member, rows], labels[rows], classes)
    log_probs = predictions.logits[member, rows] - known.normalizer[member, rows, None]
    value = evaluate(log_probs, labels[rows], [metric])[metric]
    return value if get_metric(metric).higher_is_better else -value


def _tempered(log_probs: LogProbs, others: LogProbs, labels: NDArray[np.int64]) -> LogProbs:
    """Return log-probabilities scaled by the best temperature of other rows of the same member."""
    scaled = torch.from_numpy(log_probs) / best_temperature(np.asarray(others), labels)
    return scaled.log_softmax(dim=1).numpy()

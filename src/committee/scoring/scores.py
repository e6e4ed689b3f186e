"""Cross-fitted scores of combiners, with intervals and the gain over the best single member."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.base.figures import interval_figure
from committee.base.folds import check_folds
from committee.base.progress import track
from committee.base.tables import to_html
from committee.base.text import count
from committee.combiners.base import Combiner
from committee.combiners.shared.calibrator import Calibrator
from committee.metrics.sampling import Interval
from committee.predictions.table import Predictions
from committee.scoring.baselines import baselines
from committee.scoring.distributions import with_variances
from committee.scoring.draws import Draws
from committee.scoring.family import simultaneous
from committee.scoring.gains import Gain
from committee.solvers import cross_fit as fitting
from committee.tasks.base import task_of

LogProbs = NDArray[np.float32]
SHOWN = 2
"""Metrics in the text of scores."""
Folds = NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """The scores of a combiner on the rows that it can be fitted on.

    Attributes
    ----------
    fit : dict of str to float
        Metrics on the rows of the fit. They are too good; use them for comparison only.
    cross_fitted : dict of str to Interval
        Metrics of rows that were combined by fits on other rows.
    gain : dict of str to Gain
        Cross-fitted difference to the best single member, which is chosen inside the folds by the same
        metric. For a combiner that calibrates, members are calibrated inside the folds too. Metrics in which
        gains are not evaluated are missing.
    held_out : float32 array [N, C]
        Log-probabilities of the rows, each combined by a fit on other rows.
    draws : Draws
        Bootstrap draws of the metrics of `gain`, for comparisons of several combiners.
    uncalibrated : dict of str to float or None
        Cross-fitted `log_loss` and `ece` of the combiner inside a calibrator; None for other combiners.

    See Also
    --------
    score : Compute the scores of one combiner.
    committee.scoring.Gain : A paired difference between two predictions.

    Examples
    --------
    >>> from committee.combiners import Weighted
    >>> from committee.predictions import simulate
    >>> from committee.scoring import score
    >>> rows = simulate({"a": 2.0, "b": 2.0}, rows=200)
    >>> fitted, scores = score(Weighted(), rows)
    >>> round(scores.cross_fitted["accuracy"].value, 2)
    0.96
    >>> scores.gain["accuracy"].proven
    True
    """

    fit: dict[str, float]
    cross_fitted: dict[str, Interval]
    gain: dict[str, Gain]
    held_out: LogProbs = field(repr=False, compare=False)
    draws: Draws = field(repr=False, compare=False)
    uncalibrated: dict[str, float] | None = None

    def __repr__(self) -> str:
        """Return the first metrics with their intervals, and the number of proven gains."""
        shown = list(self.cross_fitted.items())[:SHOWN]
        proven = sum(gain.proven for gain in self.gain.values())
        parts = [f"{name}={each.value:.4g} [{each.low:.4g}, {each.high:.4g}]" for name, each in shown]
        return f"Scores({', '.join(parts)}, proven_gains={proven} of {len(self.gain)})"

    def _repr_html_(self) -> str:
        """Return all metrics as a table of HTML, for notebooks."""
        rows = [
            [
                name,
                f"{each.value:.4g} [{each.low:.4g}, {each.high:.4g}]",
                f"{self.fit[name]:.4g}" if name in self.fit else "",
                self.gain[name].text if name in self.gain else "",
            ]
            for name, each in self.cross_fitted.items()
        ]
        columns = ["metric", "cross-fitted", "on the rows of the fit", "gain"]
        return to_html(columns, rows, f"Scores of {count(len(self.held_out), 'row')}, with 95% intervals")

    def plot(self) -> Any:
        """Return a figure of matplotlib with the gains over the best single member and their intervals.

        Raises
        ------
        DependencyError
            Matplotlib is not installed.
        """
        gains = list(self.gain.values())
        names = [gain.metric for gain in gains]
        return interval_figure(names, gains, "gain (right of 0 is better)", "a plot of gains", zero=True)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; each gain includes its `text`."""
        return {
            "fit": self.fit,
            "cross_fitted": {name: asdict(interval) for name, interval in self.cross_fitted.items()},
            "gain": {name: gain.to_json() for name, gain in self.gain.items()},
        }


def cross_fit(
    combiner: Combiner, predictions: Predictions, *, folds: Folds | None = None, seed: int = 0
) -> LogProbs:
    """Return log-probabilities, float32 `[N, C]`, each row combined by a fit on other rows.

    Parameters
    ----------
    combiner : Combiner
        It is cloned for each fold and is not changed.
    predictions : Predictions
        With labels, if the combiner learns.
    folds : int64 array [N], optional
        Fold of each row. By default the folds of the predictions or, if they have none, folds that are drawn.
    seed : int
        Seed of the folds that are drawn.

    Raises
    ------
    LeakError
        A member was trained on one of the rows.

    Examples
    --------
    >>> from committee.combiners import Weighted
    >>> from committee.predictions import simulate
    >>> from committee.scoring import cross_fit
    >>> cross_fit(Weighted(), simulate({"a": 2.0, "b": 2.0}, rows=200)).shape
    (200, 3)
    """
    if not combiner.learns:
        return fitting.cross_fit(combiner, predictions)
    return fitting.cross_fit(combiner, predictions, folds_of(predictions, folds, seed))


def score(
    combiner: Combiner, predictions: Predictions, *, folds: Folds | None = None, seed: int = 0
) -> tuple[Combiner, Scores]:
    """Return a combiner fitted on all rows, and its scores; see `score_all`.

    Examples
    --------
    >>> from committee.combiners import SoftVoting
    >>> from committee.predictions import simulate
    >>> from committee.scoring import score
    >>> _, scores = score(SoftVoting(), simulate({"a": 2.0, "b": 2.0}, rows=200))
    >>> round(scores.cross_fitted["accuracy"].value, 2)
    0.97
    """
    return score_all({"combiner": combiner}, predictions, folds=folds, seed=seed)["combiner"]


def score_all(
    combiners: Mapping[str, Combiner],
    predictions: Predictions,
    *,
    folds: Folds | None = None,
    seed: int = 0,
) -> dict[str, tuple[Combiner, Scores]]:
    """Fit several combiners and score them on the same folds and resamples.

    Parameters
    ----------
    combiners : mapping of str to Combiner
        They are cloned and not changed.
    predictions : Predictions
        Labeled rows that no member was trained on.
    folds : int64 array [N], optional
        As for `cross_fit`.
    seed : int
        Seed of the bootstrap, and of folds that are drawn.

    Returns
    -------
    dict of str to (Combiner, Scores)
        Each combiner fitted on all rows, and its scores. The limits of gains hold for all combiners together
        (`committee.scoring.simultaneous`), so that the best of them may be looked at.

    Examples
    --------
    >>> from committee.combiners import SoftVoting, Weighted
    >>> from committee.predictions import simulate
    >>> from committee.scoring import score_all
    >>> rules = {"vote": SoftVoting(), "weights": Weighted()}
    >>> found = score_all(rules, simulate({"a": 2.0, "b": 2.0}, rows=200))
    >>> {name: scores.gain["log_loss"].proven for name, (_, scores) in found.items()}
    {'vote': True, 'weights': False}
    """
    labels, task = predictions.require_labels("score"), task_of(predictions)
    folds = folds_of(predictions, folds, seed)
    inside = {name: each.inner for name, each in combiners.items() if isinstance(each, Calibrator)}
    rules = [*combiners.values(), *inside.values()]
    fits = fitting.CrossFits(rules, predictions, folds, names=[*combiners, *inside])
    best = baselines(predictions, folds, seed)
    result = {}
    pairs = list(combiners.items())
    for name, combiner in track(pairs, what="methods", name=itemgetter(0)) if len(pairs) > 1 else pairs:
        log_probs, fitted = fits.held_out(combiner), fits.fit(combiner)
        on_fit = fitted.combine(predictions.logits) if combiner.learns else log_probs
        held_out = with_variances(log_probs, fitted, predictions)
        cross_fitted = task.intervals(held_out, labels, groups=predictions.groups, seed=seed)
        gains, draws = best.gains(log_probs, combiner.calibrates and len(task.calibrations) > 1)
        before = None
        if name in inside:
            before = task.evaluate(fits.held_out(inside[name]), labels, ("log_loss", "ece"))
        result[name] = (
            fitted,
            Scores(task.evaluate(on_fit, labels), cross_fitted, gains, log_probs, draws, before),
        )
    together = as_family({name: scores for name, (_, scores) in result.items()})
    return {name: (fitted, together[name]) for name, (fitted, _) in result.items()}


def as_family(scores: Mapping[str, Scores]) -> dict[str, Scores]:
    """Return scores whose gains have limits that hold for all of these combiners together, in each metric."""
    gains: dict[str, dict[str, Gain]] = {name: {} for name in scores}
    for metric in dict.fromkeys(metric for each in scores.values() for metric in each.gain):
        family = {name: each for name, each in scores.items() if metric in each.gain}
        draws = {name: each.draws.gains[each.draws.metrics.index(metric)] for name, each in family.items()}
        for name, found in simultaneous({name: family[name].gain[metric] for name in family}, draws).items():
            gains[name][metric] = found
    return {name: replace(each, gain=gains[name]) for name, each in scores.items()}


def folds_of(predictions: Predictions, folds: ArrayLike | None, seed: int) -> Folds:
    """Return the given folds, those of the predictions, or new ones, in this order of preference.

    Raises
    ------
    DataError
        Folds are not one whole number from 0 per row, there are fewer than two, a group is in several, or a
        class that could be in several is in one; see `committee.base.folds.check_folds`.
    """
    strata = predictions.strata("score")
    folds = predictions.folds if folds is None else folds
    found = fitting.redraw_folds(predictions, seed) if folds is None else np.asarray(folds)
    check_folds(found, strata, predictions.groups, class_names=predictions.class_names, rare=True)
    return found.astype(np.int64, copy=False)

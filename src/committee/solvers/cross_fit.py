"""Cross-fitting: each row is combined by a rule that was fitted on other rows."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import nn

from committee.base.folds import make_folds
from committee.base.progress import bar, silent
from committee.errors import DataError
from committee.solvers.columns import prepare, take
from committee.solvers.evidence import evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from committee.predictions.table import Predictions

log = logging.getLogger(__name__)

ENOUGH_EVIDENCE = 5.0
"""Standard errors. A member that predicts by chance has up to 1.4, since each pair of rows counts twice."""

Pairs = list[tuple[NDArray[np.int64], NDArray[np.int64]]]
LogProbs = NDArray[np.float32]


class Rule(Protocol):
    """The part of a combiner that cross-fitting uses; see `committee.combiners.base.Combiner`."""

    learns: bool
    needs_logits: bool
    task: Any

    @property
    def key(self) -> str:
        """Name of the rule in error messages."""

    def modules(self) -> Iterator[nn.Module]:
        """Yield the rule and the rules inside it."""

    def options(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain JSON values."""

    def clone(self) -> Self:
        """Return an unfitted rule with the same options."""

    def fit(self, predictions: Predictions) -> Self:
        """Fit the rule on labeled rows."""

    def combine(
        self, logits: NDArray[np.floating], rows: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Return the log-probabilities of some rows."""


def allows_negative_weights(rule: Rule) -> bool:
    """Return whether a rule, or a rule inside it, may give a member a negative coefficient."""
    return any(getattr(part, "allows_negative_weights", False) is True for part in rule.modules())


@runtime_checkable
class OutputCalibrator(Rule, Protocol):
    """A rule that changes only the output of another one, and is fitted on cross-fitted outputs of it."""

    inner: Any

    def fit_around(
        self, inner: Any, outputs: LogProbs, labels: NDArray[np.int64], units: int | None = None
    ) -> Self:
        """Fit the rule on outputs `[N, C]` of rows that these were not fitted on, around a fitted `inner`."""

    def calibrated(self, outputs: LogProbs) -> LogProbs:
        """Return the log-probabilities for outputs of `inner`."""


R = TypeVar("R", bound=Rule)


class CrossFits(Generic[R]):
    """Rules that are fitted and cross-fitted on the same rows and folds, each of them once.

    A calibrator of an output needs no cross-fit of its own: for each fold, it is fitted on the cross-fitted
    outputs of the rule inside it on the other folds. So the calibrated and the plain variants of a rule share
    its fits. (The rule that predicted another fold was fitted on rows of this fold too. One number per class,
    or one for all, learns nothing from it: see `docs/explanation/calibration.md`.)

    Parameters
    ----------
    rules : sequence of Rule
        They are cloned and not changed.
    predictions : Predictions
        Rows that no member was trained on.
    folds : int64 array [N] or None
        Fold of each row; None if no rule learns.
    names : sequence of str
        Names of the rules for a progress bar.
    """

    def __init__(
        self,
        rules: Sequence[R],
        predictions: Predictions,
        folds: NDArray[np.int64] | None,
        *,
        names: Sequence[str] = (),
    ) -> None:
        for rule in rules:
            predictions.require_unseen(rule.key)
        self._predictions, self._folds = predictions, folds
        plain: dict[tuple[type, str], tuple[R, str]] = {}
        for rule, name in zip(rules, names or [""] * len(rules), strict=True):
            inside = uncalibrated(rule)
            plain.setdefault(_identity(inside), (inside, name))
        each = [rule for rule, _ in plain.values()]
        found = _cross_fit(each, predictions, folds, [name for _, name in plain.values() if names])
        self._outputs = dict(zip(plain, found, strict=True))
        self._fitted: dict[tuple[type, str], R] = {}

    def held_out(self, rule: R) -> LogProbs:
        """Return the log-probabilities of a rule, float32 `[N, C]`, each row combined by a fit on others."""
        if not isinstance(rule, OutputCalibrator):
            return self._outputs[_identity(rule)]
        outputs, labels = self.held_out(rule.inner), self._predictions.require_labels(rule.key)
        assert self._folds is not None
        result = np.empty_like(outputs)
        for fold in np.unique(self._folds):
            others, rows = self._folds != fold, self._folds == fold
            units = self._predictions.units(others)
            fitted = rule.clone().fit_around(rule.inner, outputs[others], labels[others], units)
            result[rows] = fitted.calibrated(outputs[rows])
        return result

    def fit(self, rule: R) -> R:
        """Return a rule that is fitted on all rows."""
        if isinstance(rule, OutputCalibrator):
            labels = self._predictions.require_labels(rule.key)
            inner = copy.deepcopy(self.fit(rule.inner))
            outputs, units = self.held_out(rule.inner), self._predictions.units()
            return rule.clone().fit_around(inner, outputs, labels, units)
        key = _identity(rule)
        if key not in self._fitted:
            self._fitted[key] = rule.clone().fit(self._predictions)
        return self._fitted[key]


def uncalibrated(rule: R) -> R:
    """Return the rule whose output is calibrated, once or several times, or the rule itself."""
    inside: R = uncalibrated(rule.inner) if isinstance(rule, OutputCalibrator) else rule
    return inside


def _identity(rule: Rule) -> tuple[type, str]:
    """Return a key that is the same for rules whose fits are the same."""
    return type(rule), json.dumps(rule.options(), sort_keys=True, default=repr)


def cross_fit(
    rule: Rule, predictions: Predictions, folds: NDArray[np.int64] | None = None, seed: int = 0
) -> LogProbs:
    """Return log-probabilities, float32 `[N, C]`, each row combined by a fit on other rows.

    Without `folds`, a rule that learns gets folds drawn inside the given rows.
    """
    if folds is None and rule.learns:
        folds = redraw_folds(predictions, seed)
    return CrossFits([rule], predictions, folds).held_out(rule)


def _cross_fit(
    rules: Sequence[Rule], predictions: Predictions, folds: NDArray[np.int64] | None, names: Sequence[str]
) -> list[LogProbs]:
    """Cross-fit several rules on the same folds, and read the rows of each fold once.

    A rule that learns nothing is applied to all rows at once, with the same result. A progress bar is shown
    if the rules have `names`.
    """
    results = [
        np.empty(predictions.logits.shape[1:], np.float32)
        if rule.learns
        else rule.clone().fit(predictions).combine(predictions.logits)
        for rule in rules
    ]
    for negative in (False, True):
        learners = [
            (rule, place)
            for place, rule in enumerate(rules)
            if rule.learns and allows_negative_weights(rule) is negative
        ]
        if not learners or folds is None:
            continue
        prepare(predictions)
        ways = [
            _combined(learners, predictions, pairs, names)
            for pairs in ways_to_split(predictions, folds, allows_negative_weights=negative)
        ]
        for (_, place), *found in zip(learners, *ways, strict=True):
            results[place] = found[0][1] if len(found) == 1 else _worst(found, predictions)
    return results


def _combined(
    learners: Sequence[tuple[Rule, int]], predictions: Predictions, pairs: Pairs, names: Sequence[str]
) -> list[tuple[Rule, LogProbs]]:
    """Return for each rule its last fit, and the outputs of its fits to the first rows of each pair."""
    needed = any(rule.needs_logits for rule, _ in learners)
    outputs = [np.empty(predictions.logits.shape[1:], np.float32) for _ in learners]
    fitted = [rule for rule, _ in learners]
    with bar(len(pairs), "folds") if names else nullcontext(silent) as step:
        for others, held_out in pairs:
            rest = take(predictions, others, logits=needed)
            for each, (rule, place) in enumerate(learners):
                step(0, names[place] if names else "")
                fitted[each] = rule.clone().fit(rest)
                outputs[each][held_out] = fitted[each].combine(predictions.logits, held_out)
            step(1)
    return list(zip(fitted, outputs, strict=True))


def _worst(found: Sequence[tuple[Rule, LogProbs]], predictions: Predictions) -> LogProbs:
    """Return the outputs with the largest loss."""
    labels = predictions.require_labels(found[0][0].key)
    losses = [rule.task.row_losses(outputs, labels).mean() for rule, outputs in found]
    return found[int(np.argmax(losses))][1]


def network_folds(predictions: Predictions, seed: int = 0, most: int | None = None) -> NDArray[np.int64]:
    """Return the folds that a fit chooses its settings on.

    These are the folds of the networks, if the rows have at least two of them: what is chosen is applied to
    networks that predicted none of the rows of the fit, and is therefore chosen by such rows. Otherwise folds
    are drawn inside the given rows.

    Parameters
    ----------
    predictions : Predictions
    seed : int
        Seed of folds that are drawn.
    most : int, optional
        Largest number of folds; if there are more networks, some folds are left out together.

    Returns
    -------
    int64 array [N]
        Fold of each row.
    """
    if predictions.folds is None or len(np.unique(predictions.folds)) < 2:
        return redraw_folds(predictions, seed) if most is None else redraw_folds(predictions, seed, most)
    folds: NDArray[np.int64] = np.unique(predictions.folds, return_inverse=True)[1]
    return folds if most is None else folds % max(2, most)


def redraw_folds(predictions: Predictions, seed: int = 0, most: int = 5) -> NDArray[np.int64]:
    """Draw folds inside the given rows: stratified by label, groups kept together, at most `most` folds.

    A class with fewer rows or groups than folds does not change the folds of the other classes.

    Returns
    -------
    int64 array [N]
        Fold of each row.
    """
    strata, groups = predictions.strata("folds"), predictions.groups
    # More folds than the largest stratum has rows could not be stratified.
    largest = int(np.bincount(strata).max(initial=0))
    units = len(strata) if groups is None else len(np.unique(groups))
    return make_folds(strata, max(2, min(most, largest, units)), groups=groups, seed=seed, rare=True)


def ways_to_split(
    predictions: Predictions, folds: NDArray[np.int64], *, allows_negative_weights: bool
) -> list[Pairs]:
    """Return one or two ways to divide the rows into those to fit a rule on and those to combine with it.

    The first way fits on the other folds. There is a second one for a rule that may give a member a negative
    weight, if `folds` are those that the networks were trained on and the evidence that every member predicts
    better than chance is not strong: each fold is split again, so that both parts are predicted by the same
    networks. The outputs with the larger loss count.

    Parameters
    ----------
    predictions : Predictions
    folds : int64 array [N]
        Fold of each row.
    allows_negative_weights : bool
        Whether the rule may give a member a negative weight.

    Returns
    -------
    list of list of (int64 array, int64 array)
        Row numbers; each row is combined once in each way.

    Notes
    -----
    The networks of another fold were trained on the labels of this fold. Their performance there and the
    performance of this fold's networks here are sums over the same pairs of rows, so chance deviations in one
    reappear in the other. A rule that may give a member a negative weight learns these deviations and scores
    better than it is. Their share of what the rule learns falls with the square of `evidence`: with strong
    evidence it is negligible, and rows of the other folds are then worth far more than the small leak costs.

    Rows of the same networks have another error: such a rule may learn what only these networks do, such as
    small changes of a nearly constant output. Networks that predict new images are others, and a score within
    a fold does not show whether the rule holds for them.
    """
    between = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in np.unique(folds)]
    of_networks = predictions.folds is not None and np.array_equal(folds, predictions.folds)
    if allows_negative_weights and of_networks and evidence(predictions).min() < ENOUGH_EVIDENCE:
        try:
            within = [pair for fold in np.unique(folds) for pair in _split_again(predictions, folds == fold)]
        except DataError as error:  # a fold with one group or one row
            log.warning(
                "Scores of rules that allow negative weights may be too good: a fold cannot be split (%s)",
                error,
            )
        else:
            return [between, within]
    return [between]


def _split_again(predictions: Predictions, in_fold: NDArray[np.bool_]) -> Pairs:
    rows = np.flatnonzero(in_fold)
    parts = redraw_folds(predictions.select([]).rows(rows))
    return [(rows[parts != part], rows[parts == part]) for part in np.unique(parts)]

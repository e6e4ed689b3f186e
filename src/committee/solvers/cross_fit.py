"""Cross-fitting: each row is combined by a rule that was fitted on other rows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import nn

from committee.base.folds import make_folds
from committee.base.progress import bar, silent
from committee.errors import DataError
from committee.solvers.columns import columns, take
from committee.solvers.evidence import evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from committee.predictions.table import Predictions

log = logging.getLogger(__name__)

ENOUGH_EVIDENCE = 5.0
"""Standard errors. A member that predicts by chance has up to 1.4, since each pair of rows counts twice."""

Pairs = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


class Rule(Protocol):
    """The part of a combiner that cross-fitting uses; see `committee.combiners.base.Combiner`."""

    learns: bool
    needs_logits: bool

    @property
    def key(self) -> str:
        """Name of the rule in error messages."""

    def modules(self) -> Iterator[nn.Module]:
        """Yield the rule and the rules inside it."""

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


def cross_fit(
    rule: Rule, predictions: Predictions, folds: NDArray[np.int64] | None = None, seed: int = 0
) -> NDArray[np.float32]:
    """Return log-probabilities, float32 `[N, C]`, each row combined by a fit on other rows.

    Without `folds`, a rule that learns gets folds drawn inside the given rows.
    """
    if folds is None and rule.learns:
        folds = redraw_folds(predictions, seed)
    return cross_fit_all([rule], predictions, folds)[0]


def cross_fit_all(
    rules: Sequence[Rule],
    predictions: Predictions,
    folds: NDArray[np.int64] | None,
    *,
    names: Sequence[str] = (),
) -> list[NDArray[np.float32]]:
    """Cross-fit several rules on the same folds, and read the rows of each fold once.

    A rule that learns nothing is applied to all rows at once, with the same result. A progress bar is shown
    if the rules have `names`.
    """
    for rule in rules:
        predictions.require_unseen(rule.key)
    results = [
        np.empty(predictions.logits.shape[1:], np.float32)
        if rule.learns
        else rule.clone().fit(predictions).combine(predictions.logits)
        for rule in rules
    ]
    for within_folds in (False, True):
        learners = [
            (rule, result, name)
            for rule, result, name in zip(rules, results, names or [""] * len(rules), strict=True)
            if rule.learns and allows_negative_weights(rule) is within_folds
        ]
        if not learners or folds is None:
            continue
        columns(predictions)
        needed = any(rule.needs_logits for rule, _, _ in learners)
        pairs = splits(predictions, folds, within_folds=within_folds)
        with bar(len(pairs), "folds") if names else nullcontext(silent) as step:
            for others, held_out in pairs:
                rest = take(predictions, others, logits=needed)
                for rule, result, name in learners:
                    step(0, name)
                    result[held_out] = rule.clone().fit(rest).combine(predictions.logits, held_out)
                step(1)
    return results


def redraw_folds(predictions: Predictions, seed: int = 0, most: int = 5) -> NDArray[np.int64]:
    """Draw folds inside the given rows: stratified by class, groups kept together, at most `most` folds.

    A class with fewer rows or groups than folds does not change the folds of the other classes.

    Returns
    -------
    int64 array [N]
        Fold of each row.
    """
    labels, groups = predictions.require_labels("folds"), predictions.groups
    # More folds than the largest class has rows could not be stratified.
    largest = int(np.bincount(labels).max(initial=0))
    units = len(labels) if groups is None else len(np.unique(groups))
    return make_folds(labels, max(2, min(most, largest, units)), groups=groups, seed=seed, rare=True)


def splits(predictions: Predictions, folds: NDArray[np.int64], *, within_folds: bool = False) -> Pairs:
    """Return pairs of rows: those to fit a rule on, and those to combine with it.

    Parameters
    ----------
    predictions : Predictions
    folds : int64 array [N]
        Fold of each row.
    within_folds : bool
        Whether both parts of a pair must be predicted by the same networks, if `folds` are the folds that the
        networks were trained on. The rows of each fold are then split again, unless the evidence that every
        member predicts better than chance is strong.

    Returns
    -------
    list of (int64 array, int64 array)
        Row numbers.

    Notes
    -----
    The networks of another fold were trained on the labels of this fold. Their performance there and the
    performance of this fold's networks here are sums over the same pairs of rows, so chance deviations in one
    reappear in the other. A rule that may give a member a negative weight learns these deviations and scores
    better than it is. Their share of what the rule learns falls with the square of `evidence`: with strong
    evidence it is negligible, and rows of the other folds are then worth far more than the small leak costs.
    """
    of_networks = predictions.folds is not None and np.array_equal(folds, predictions.folds)
    if within_folds and of_networks and evidence(predictions).min() < ENOUGH_EVIDENCE:
        try:
            return [pair for fold in np.unique(folds) for pair in _split_again(predictions, folds == fold)]
        except DataError as error:  # a fold with one group or one row
            log.warning(
                "Scores of rules that allow negative weights may be too good: a fold cannot be split (%s)",
                error,
            )
    return [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in np.unique(folds)]


def _split_again(predictions: Predictions, in_fold: NDArray[np.bool_]) -> Pairs:
    rows = np.flatnonzero(in_fold)
    parts = redraw_folds(predictions.select([]).rows(rows))
    return [(rows[parts != part], rows[parts == part]) for part in np.unique(parts)]

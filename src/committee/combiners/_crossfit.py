"""Cross-fitting a combiner: each row is combined by a rule that was fitted without it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from committee.base.folds import make_folds
from committee.combiners._evidence import evidence
from committee.combiners.base import Combiner
from committee.errors import DataError
from committee.solvers.columns import columns, take

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

log = logging.getLogger(__name__)

ENOUGH = 5.0
"""Standard errors. By chance a member has 1.4 of them, since each pair of rows counts twice."""


def redraw_folds(predictions: Predictions, seed: int = 0, most: int = 5) -> NDArray[np.int64]:
    """Return folds drawn inside the given rows: stratified, groups respected, at most `most` of them."""
    labels = predictions.require_labels("folds")
    counts = np.bincount(labels)
    smallest = int(counts[counts > 0].min())
    if predictions.groups is not None:
        smallest = min(smallest, len(np.unique(predictions.groups)))
    try:
        return make_folds(labels, max(2, min(most, smallest)), groups=predictions.groups, seed=seed)
    except DataError:
        # A class in one row or one group cannot be on both sides. Nothing leaks when it is not.
        return make_folds(np.zeros_like(labels), 2, groups=predictions.groups, seed=seed)


def cross_fit(
    combiner: Combiner, predictions: Predictions, folds: NDArray[np.int64] | None = None, seed: int = 0
) -> NDArray[np.float32]:
    """Return log-probabilities `[N, C]` in which no row was combined by a fit that saw it.

    Without `folds`, they are drawn inside the given rows, where the combiner learns.
    """
    if folds is None and combiner.learns:
        folds = redraw_folds(predictions, seed)
    return cross_fit_all([combiner], predictions, folds)[0]


def cross_fit_all(
    combiners: Sequence[Combiner], predictions: Predictions, folds: NDArray[np.int64] | None
) -> list[NDArray[np.float32]]:
    """Cross-fit several combiners on the same folds, and read the rows of each fold once.

    A rule that learns nothing is applied to all rows at once: the result is the same.
    """
    for combiner in combiners:
        predictions.require_unseen(combiner.key)
    results = [
        np.empty(predictions.logits.shape[1:], np.float32)
        if combiner.learns
        else combiner.clone().fit(predictions).combine(predictions.logits)
        for combiner in combiners
    ]
    for turning in (False, True):
        learners = [
            (combiner, result)
            for combiner, result in zip(combiners, results, strict=True)
            if combiner.learns and allows_negative_weights(combiner) is turning
        ]
        if not learners or folds is None:
            continue
        columns(predictions)
        needed = any(combiner.needs_logits for combiner, _ in learners)
        for others, held_out in splits(predictions, folds, within_folds=turning):
            rest = take(predictions, others, logits=needed)
            for combiner, result in learners:
                result[held_out] = combiner.clone().fit(rest).combine(predictions.logits, held_out)
    return results


def allows_negative_weights(combiner: Combiner) -> bool:
    """Return whether the rule, or one inside it, may hold a member's word against it."""
    return any(part.allows_negative_weights for part in combiner.modules() if isinstance(part, Combiner))


def splits(
    predictions: Predictions, folds: NDArray[np.int64], *, within_folds: bool = False
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return pairs of rows to fit a rule on, and rows to combine with it.

    Parameters
    ----------
    predictions : Predictions
    folds : int64 array [N]
    within_folds : bool
        Whether both rows of a pair shall be predicted by the same networks, where `folds` are those of the
        networks: the rows of each fold are then split again, unless every member surely knows something of
        the labels.

    Notes
    -----
    The networks of another fold were trained on the labels of this one, so that how well they do there and
    how well this fold's networks do here come from the same pairs of rows: chance in one is the same chance
    in the other. A rule that may turn a member round learns it, and looks better than it is. That chance is
    a share of what it learns that falls with the square of `evidence`: where there is plenty it is nothing,
    and rows of the other folds are then worth far more than what they betray.
    """
    of_networks = predictions.folds is not None and np.array_equal(folds, predictions.folds)
    if within_folds and of_networks and evidence(predictions).min() < ENOUGH:
        try:
            return [pair for fold in np.unique(folds) for pair in _split_again(predictions, folds == fold)]
        except DataError as error:  # a fold of one group, or of one row
            log.warning(
                "scores of rules that may turn a member round may flatter: no split in a fold (%s)", error
            )
    return [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in np.unique(folds)]


def _split_again(
    predictions: Predictions, fold: NDArray[np.bool_]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    rows = np.flatnonzero(fold)
    parts = redraw_folds(predictions.select([]).rows(rows))
    return [(rows[parts != part], rows[parts == part]) for part in np.unique(parts)]

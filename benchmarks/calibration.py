"""A temperature on the cross-fit that the scores need anyway, compared with a nested cross-fit.

Nested: the temperature of a fold is fitted on a second cross-fit of the combiner, inside the rows of the
other folds. Its time is that of the scores of a plain combiner and of its calibrated variant together, and
the note gives the cross-fitted log-loss of the plain combiner and of both calibrated ones. One thread.
"""

from __future__ import annotations

import numpy as np
from harness import Row, compare, main
from numpy.typing import NDArray

from committee.combiners.base import Combiner, build
from committee.combiners.temperature import Temperature
from committee.metrics.classification import evaluate
from committee.predictions.table import Predictions
from committee.solvers.columns import take
from committee.solvers.cross_fit import CrossFits, cross_fit

QUESTION, PEER = "pooled temperature", "nested cross-fit"
LogProbs = NDArray[np.float32]


def members(count: int, rows: int, classes: int, seed: int = 0, folds: int = 5) -> Predictions:
    """Return correlated members of different quality and confidence."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    shared, truth = random.normal(size=(rows, classes)), np.eye(classes)[labels]
    logits = np.empty((count, rows, classes), np.float32)
    for member in range(count):
        own = random.normal(size=(rows, classes))
        logits[member] = 1.3 * truth * (1 + 0.05 * member) + 0.6 * shared + 0.8 * own
        logits[member] *= 2 * (1 + 0.2 * member)
    return Predictions.from_logits(
        logits,
        members=[f"m{member}" for member in range(count)],
        class_names=[str(name) for name in range(classes)],
        labels=labels,
        folds=np.arange(rows) % folds,
    )


def shared(rule: Combiner, rows: Predictions) -> list[LogProbs]:
    """Return the cross-fitted outputs of a rule and of its calibrated variant, both also fitted on all."""
    both = [rule, Temperature(rule)]
    fits = CrossFits(both, rows, rows.folds)
    return [(fits.fit(each), fits.held_out(each))[1] for each in both]


def nested(rule: Combiner, rows: Predictions) -> list[LogProbs]:
    """Return the same with a cross-fit inside each fold for the temperature."""
    folds, labels = rows.folds, rows.require_labels("nested")
    assert folds is not None
    calibrated = np.empty(rows.logits.shape[1:], np.float32)
    for fold in np.unique(folds):
        some, others = folds == fold, np.flatnonzero(folds != fold)
        rest = take(rows, others)
        outputs = cross_fit(rule, rest, seed=1)
        fitted = Temperature(rule).fit_around(rule.clone().fit(rest), outputs, labels[others])
        calibrated[some] = fitted.combine(rows.logits[:, some])
    rule.clone().fit(rows)
    Temperature(rule).fit(rows)
    return [cross_fit(rule, rows, folds), calibrated]


def compared(key: str, rows: Predictions, rounds: int) -> Row:
    """Compare both for one combiner."""
    rule, labels = build(key), rows.require_labels("calibration")
    (plain, ours), (_, theirs) = shared(rule, rows), nested(rule, rows)
    before, after, other = (
        evaluate(each, labels, ["log_loss"])["log_loss"] for each in (plain, ours, theirs)
    )
    found = compare(lambda: shared(rule, rows), lambda: nested(rule, rows), rounds, warm_up=False)
    count, size, classes = rows.logits.shape
    note = f"log-loss {before:.4f} plain, {after:.4f} calibrated, {other:.4f} nested"
    return Row(QUESTION, f"{key}, {count} x {size:,} x {classes}", PEER, *found, target=None, note=note)


def measure(quick: bool) -> list[Row]:
    """Compare simple combiners on many rows, and stacks on few."""
    many, few = (
        (members(2, 100, 3, folds=2),) * 2 if quick else (members(10, 20_000, 20), members(5, 1500, 5))
    )
    simple = ("soft_voting", "weighted") if quick else ("soft_voting", "weighted", "greedy_selection")
    stacks = ("stacking_lr",) if quick else ("stacking_lr", "stacking_rf", "stacking_mlp")
    rounds = 1 if quick else 3
    return [
        *(compared(key, many, rounds) for key in simple),
        *(compared(key, few, 1) for key in stacks),
    ]


if __name__ == "__main__":
    main(measure)

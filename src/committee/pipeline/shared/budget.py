"""The time of fits, estimated before they run, and the choice of those within a budget."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from committee.base.limits import above_zero
from committee.base.text import duration
from committee.combiners.base import Combiner
from committee.predictions.table import Predictions
from committee.scoring.calibrations import calibrated

log = logging.getLogger(__name__)

DEFAULT = 10.0
"""Seconds for the methods that nobody named."""
LONG = 5.0
"""Seconds from which the log says beforehand how long the fits take."""


def estimates(
    combiners: Mapping[str, Combiner],
    predictions: Predictions,
    folds: NDArray[np.int64] | None,
    calibrate: str = "none",
) -> dict[str, float]:
    """Return about how many seconds it takes to score each combiner.

    A combiner is fitted once without each fold and once on all rows. What some are fitted on beside that, if
    members are weak (`ways_to_split`), is not counted.
    """
    fits = 6 if folds is None else len(np.unique(folds)) + 1
    sizes = predictions.logits.shape
    return {name: fits * calibrated(rule, calibrate).seconds(*sizes) for name, rule in combiners.items()}


def within(
    combiners: Mapping[str, Combiner], seconds: Mapping[str, float], budget: float | None
) -> dict[str, Combiner]:
    """Return the combiners whose scores together take less than the budget; the log names the others.

    The cheapest combiners are taken first, and those that learn nothing in any case. With a budget of None,
    all of them are taken.
    """
    if budget is None:
        return dict(combiners)
    above_zero("budget", budget)
    order = sorted(combiners, key=lambda name: seconds[name])
    spent = np.cumsum([seconds[name] for name in order])
    in_time = {name for name, total in zip(order, spent, strict=True) if total <= budget}
    kept = {name: rule for name, rule in combiners.items() if name in in_time or not rule.learns}
    left_out = [name for name in combiners if name not in kept]
    if left_out:
        log.info(
            "Left out to stay within a budget of %s: %s. Run one with --method NAME, "
            "those within another budget with --budget SECONDS, or all with --slow.",
            duration(budget / 3600),
            _listed(left_out, seconds),
        )
    return kept


def announce(seconds: Mapping[str, float]) -> None:
    """Log how long the fits take together if it is long, and which of them take longest."""
    total = sum(seconds.values())
    if LONG <= total < math.inf:
        longest = sorted(seconds, key=lambda name: -seconds[name])[:3]
        log.info(
            "Fitting %d methods takes about %s, most of it: %s.",
            len(seconds),
            duration(total / 3600),
            _listed([name for name in longest if seconds[name] >= 1], seconds),
        )


def _listed(names: list[str], seconds: Mapping[str, float]) -> str:
    """Return names with their time, such as `stacking_mlp (about 15 seconds)`."""
    return ", ".join(f"{name} ({_in_words(seconds[name])})" for name in names)


def _in_words(seconds: float) -> str:
    return "cannot be fitted" if math.isinf(seconds) else f"about {duration(seconds / 3600)}"

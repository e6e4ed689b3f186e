"""Seconds of processor time of fits on 10 members x 20,000 x 1,000 classes, and of `combine` on 20 classes.

The members are simulated by `committee.predictions.simulate`: weak (2% to 10% of the rows right), fair (12%
to 38%) and strong ones (77% to 94%). The pass over the logits that all fits share is not counted. One thread.
"""

from __future__ import annotations

import time
from dataclasses import replace

from harness import Row, main

from committee.combiners.base import build
from committee.pipeline.combine import combine
from committee.predictions.simulation import simulate
from committee.predictions.table import Predictions
from committee.solvers.columns import columns

QUESTION, MOST = "fits at many classes", 3
FITS = {
    "log pool": {"combiner": "weighted", "space": "logit"},
    "cascade": {"combiner": "cascade"},
    "greedy, accuracy": {"combiner": "greedy_selection", "metric": "accuracy"},
}
STRENGTHS = {"weak": 1.0, "fair": 2.0, "strong": 4.0}


def members(strength: float, rows: int, classes: int) -> Predictions:
    """Return ten members, each a little stronger than the one before."""
    names = {f"member{place}": strength + place / 10 for place in range(10)}
    return simulate(names, rows=rows, classes=classes)


def spent(call: object) -> float:
    """Return the processor time of a call."""
    start = time.process_time()
    call()  # type: ignore[operator]
    return time.process_time() - start


def measure(quick: bool) -> list[Row]:
    """Measure each fit on members of each strength, then all cheap methods of `combine`."""
    rows, classes = (200, 20) if quick else (20_000, 1_000)
    result = []
    for kind, strength in STRENGTHS.items():
        predictions = members(strength, rows, classes)
        columns(predictions)
        for name, spec in FITS.items():
            seconds = spent(lambda spec=spec, rows=predictions: build(spec).fit(rows))
            work = f"{name}, 10 {kind} members x {rows:,} x {classes:,}"
            result.append(Row(QUESTION, work, "", seconds, target=MOST))
    rows, classes = (60, 3) if quick else (rows, 20)
    few = members(1.0, rows, classes)
    for how in ("none",) if quick else ("pooled", "none"):
        seconds = spent(lambda how=how: combine(replace(few), calibrate=how, budget=1 if quick else 10))
        result.append(
            Row(
                "combine",
                f"10 x {rows:,} x {classes}, methods within the budget, {how}",
                "",
                seconds,
                target=11.4,
            )
        )
    return result


if __name__ == "__main__":
    main(measure)

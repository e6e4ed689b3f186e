"""Conformal intervals of stored models of numbers: their limits, and their coverage on the test split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.combiners.base import Combiner
from committee.metrics.conformal_numbers import coverage_and_width, interval_limits, residual_scores
from committee.metrics.sampling import Interval
from committee.pipeline.shared.sets import COVERAGES
from committee.predictions.table import Predictions


def interval_table(
    outputs: NDArray[np.float32], rows: Predictions, *, kind: str, approximate: bool
) -> dict[str, Any]:
    """Return the half widths of the intervals that labeled rows calibrate, as JSON.

    Returns
    -------
    dict
        `rows` (`kind`), `n`, `approximate`, and `limits`: for each coverage, a half width for each target in
        its unit; None if there are too few rows.
    """
    scores = residual_scores(outputs, rows.require_labels("intervals"))
    limits = interval_limits(scores, COVERAGES, rows.groups)
    found = {
        f"{coverage:g}": [_finite(x) for x in each] for coverage, each in zip(COVERAGES, limits, strict=True)
    }
    return {"rows": kind, "n": len(rows), "approximate": approximate, "limits": found}


def fitted_intervals(
    fitted: Combiner,
    held_out: NDArray[np.float32],
    rows: Predictions,
    kind: str,
    val: Predictions | None,
) -> dict[str, Any]:
    """Return the table of a combiner of numbers under the key `intervals`; nothing for classes.

    The val rows calibrate it, if there are any; else the rows of the fit, with cross-fitted outputs.
    """
    if fitted.task.logits:
        return {}
    if val is None:
        return {"intervals": interval_table(held_out, rows, kind=kind, approximate=True)}
    return {"intervals": interval_table(fitted.combine(val.logits), val, kind="val", approximate=False)}


def intervals_on_test(
    found: Mapping[str, Any], outputs: NDArray[np.float32], test: Predictions
) -> dict[str, Any]:
    """Return coverage and mean width of the intervals of a table on test rows, for each target."""
    labels = test.require_labels("intervals")

    def measured(limits: list[float | None]) -> list[dict[str, Any]]:
        reach = np.array([np.inf if limit is None else limit for limit in limits])
        return [
            {"target": name, **{key: _plain(value) for key, value in each.items()}}
            for name, each in zip(
                test.class_names,
                coverage_and_width(outputs, labels, reach, groups=test.groups),
                strict=True,
            )
        ]

    return {**found, "test": {coverage: measured(limits) for coverage, limits in found["limits"].items()}}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _plain(interval: Interval) -> dict[str, float | None]:
    return {key: _finite(value) for key, value in asdict(interval).items()}

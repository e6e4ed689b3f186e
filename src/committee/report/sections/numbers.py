"""Predicted numbers against true ones, residuals, and the metrics of each target."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from committee.errors import printable
from committee.metrics.named import METRICS
from committee.report.bars import Scale
from committee.report.blocks import Block, Chart, Row, Table
from committee.report.cells import interval_cell, name_of, scale_of
from committee.report.charts.axes import Axis
from committee.report.charts.cloud import cloud
from committee.report.facts import Facts, Outputs
from committee.report.sections.base import ReportSection

POINTS = 1000
TARGETS = 4
MARGIN = 0.04
RESIDUAL = Axis("predicted minus true")


class Numbers(ReportSection):
    """Charts of the recommended model for each target, and a table.

    See Also
    --------
    committee.report.sections.sets.Sets : Prediction intervals.
    """

    title = "Predicted numbers"
    order = 85

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield two charts for each target, and the table of targets."""
        for found in facts.curves[:1]:
            values = found.task.values(found.values)
            for target in range(0 if values is None else min(values.shape[1], TARGETS)):
                yield Row([_scatter(found, target, False), _scatter(found, target, True)])
        for report in facts.shown[:1]:
            listed = report.get("per_target", [])
            names = [name for name in METRICS if any(name in each for each in listed)]
            scales = {
                name: scale_of([each.get(name) for each in listed if isinstance(each.get(name), dict)])
                for name in names
            }
            rows = [
                [
                    printable(str(each["target"])),
                    *(_cell(each.get(name), name, scales[name]) for name in names),
                ]
                for each in listed
            ]
            if rows:
                yield Table(
                    ["target", *names], rows, f"{name_of(report)} on the test split, with 95% intervals"
                )


def _cell(found: object, name: str, scale: Scale) -> object:
    return interval_cell(found if isinstance(found, dict) else None, name, scale)


def _scatter(found: Outputs, target: int, residuals: bool) -> Chart:
    values = found.task.values(found.values)
    assert values is not None
    rows = np.random.default_rng(0).permutation(len(values))[:POINTS]
    truth, guess = (each[rows, target].astype(np.float64) for each in (found.labels, values))
    name = printable(found.rows.class_names[target])
    some = f"{len(rows)} of {len(values)}" if len(rows) < len(values) else str(len(rows))
    caption = f"{found.name}, {some} {found.split} rows; {_errors(guess - truth)}"
    if residuals:
        title, spec = "Residuals", cloud(guess, guess - truth, Axis(f"predicted {name}"), RESIDUAL, 0)
    else:
        both = _ends(truth, guess)
        spec = cloud(truth, guess, Axis(f"true {name}", both), Axis(f"predicted {name}", both), 1)
        title = "Predicted and true"
    return Chart(f"{title}: {name}", spec, caption)


def _ends(truth: NDArray[np.float64], guess: NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends of axes that have the same scale."""
    both = np.concatenate([truth, guess])
    low, high = float(np.nanmin(both)), float(np.nanmax(both))
    margin = MARGIN * (high - low) or abs(high) or 1.0
    return low - margin, high + margin


def _errors(residuals: NDArray[np.float64]) -> str:
    """Return in words where predictions are, compared with the truth."""
    middle, far = np.nanmedian(residuals), np.nanquantile(np.abs(residuals), 0.9)
    return f"the median of predicted minus true is {middle:.4g}, and 90% are within {far:.4g} of the truth."

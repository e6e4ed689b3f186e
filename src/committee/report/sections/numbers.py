"""Predicted numbers against true ones, residuals, and the metrics of each target."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from committee.errors import printable
from committee.metrics.named import METRICS
from committee.report.blocks import Block, Chart, Row, Table
from committee.report.cells import interval_cell, name_of, scale_of
from committee.report.charts.frame import Frame
from committee.report.charts.scale import Scale
from committee.report.facts import Facts, Outputs
from committee.report.sections.base import ReportSection

POINTS = 1500
TARGETS = 4


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
    truth, guess = found.labels[rows, target].astype(float), values[rows, target].astype(float)
    name = printable(found.rows.class_names[target])
    ys = guess - truth if residuals else guess
    across = guess if residuals else truth
    both = Scale.of([*truth.tolist(), *guess.tolist()])
    scale = Scale.of([*ys.tolist(), 0.0]) if residuals else both
    frame = Frame(
        Scale.of(guess.tolist()) if residuals else both,
        scale,
        f"{'predicted' if residuals else 'true'} {name}",
        "predicted minus true" if residuals else f"predicted {name}",
    )
    ends = [frame.x.low, frame.x.high]
    frame.line(ends, [0, 0] if residuals else ends, None, style="dashed")
    frame.points(across.tolist(), ys.tolist(), 0, 2.2)
    title = f"{'Residuals' if residuals else 'Predicted and true'}: {name}"
    some = f"{len(rows)} of {len(values)}" if len(rows) < len(values) else str(len(rows))
    caption = f"{found.name}, {some} {found.split} rows."
    return Chart(title, frame.svg(f"{title}. {caption}"), caption)

"""Reliability diagrams: whether confidences are shares of correct predictions, as is and uncalibrated."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from committee.metrics.curves import Reliability as Diagram
from committee.report.blocks import Block, Chart, Row
from committee.report.charts.frame import Frame
from committee.report.charts.scale import Scale
from committee.report.facts import Facts, Outputs
from committee.report.sections.base import ReportSection

UNIT = Scale(0, 1)


class Reliability(ReportSection):
    """A chart for each model with curves.

    See Also
    --------
    committee.metrics.reliability : The data of a diagram.
    """

    title = "Reliability"
    order = 50

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the charts."""
        charts = [chart for found in facts.curves if (chart := _chart(facts, found)) is not None]
        if charts:
            yield Row(charts)


def _chart(facts: Facts, found: Outputs) -> Chart | None:
    after = found.task.reliability(found.values, found.labels)
    if after is None:
        return None
    series = facts.series(found.name)
    frame = Frame(UNIT, UNIT, "confidence", "share of correct predictions")
    frame.line([0, 1], [0, 1], None, style="dashed")
    _bars(frame, after, series)
    legend: list[tuple[int | None, str]] = [(series, "as it is")]
    raw = facts.uncalibrated(found.name)
    caption = f"{len(found.labels)} {found.split} rows; expected calibration error {after.ece:.4f}"
    if raw is not None and (before := raw.task.reliability(raw.values, raw.labels)) is not None:
        other = (series or 0) + 4
        _line(frame, before, other, "dashed")
        legend.append((other, "before calibration"))
        caption += f", {before.ece:.4f} before calibration"
    _line(frame, after, series, "line")
    caption += ". Above the diagonal, the model is right more often than it claims. Bars: share of the rows."
    return Chart(found.name, frame.svg(caption), caption, legend)


def _line(frame: Frame, diagram: Diagram, series: int | None, style: str) -> None:
    known = diagram.count > 0
    frame.line(diagram.confidence[known], diagram.accuracy[known], series, style=style)
    if style == "line":
        for x, y, number in zip(
            diagram.confidence[known], diagram.accuracy[known], diagram.count[known], strict=True
        ):
            frame.point(
                float(x), float(y), series, f"confidence {x:.3f}, {y:.3f} correct, {number} rows", r=3.5
            )


def _bars(frame: Frame, diagram: Diagram, series: int | None) -> None:
    shares = diagram.count / max(int(diagram.count.sum()), 1)
    for left, right, share in zip(diagram.edges[:-1], diagram.edges[1:], shares, strict=True):
        if np.isfinite(share) and share > 0:
            frame.bar(float(left), float(right), float(share), None, f"{share:.1%} of the rows", "bar faint")

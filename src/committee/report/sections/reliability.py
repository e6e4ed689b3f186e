"""Reliability diagrams: whether confidences are shares of correct predictions, as is and uncalibrated."""

from __future__ import annotations

from collections.abc import Iterator

from committee.report.blocks import Block, Chart, Row
from committee.report.charts.diagram import diagram, diagram_line
from committee.report.facts import Facts, Outputs
from committee.report.sections.base import ReportSection

AFTER, BEFORE = "as it is", "before calibration"


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
    shown = [diagram_line(after, AFTER, series)]
    caption = f"{len(found.labels)} {found.split} rows; expected calibration error {after.ece:.4f}"
    raw = facts.uncalibrated(found.name)
    if raw is not None and (before := raw.task.reliability(raw.values, raw.labels)) is not None:
        shown.insert(0, diagram_line(before, BEFORE, (series or 0) + 4, "dashed"))
        caption += f", {before.ece:.4f} before calibration"
    caption += ". Above the diagonal, the model is right more often than it claims. Bars: share of the rows."
    legend = [(line.series, line.name) for line in reversed(shown)]
    return Chart(found.name, diagram(after, shown), caption, legend)

"""Risk-coverage curves: the error of a model that predicts only the rows of which it is most certain."""

from __future__ import annotations

from collections.abc import Iterator

from committee.metrics.risk import RiskCoverage as Curve
from committee.report.blocks import Block, Chart, Row, Table
from committee.report.cells import value_cell
from committee.report.charts.axes import Axis
from committee.report.charts.lines import Line, lines
from committee.report.facts import Facts
from committee.report.sections.base import ReportSection


class RiskCoverage(ReportSection):
    """The curves of the models with curves in one chart, and the areas under them.

    See Also
    --------
    committee.metrics.risk_coverage : The data of a curve.
    """

    title = "Risk and coverage"
    order = 60

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the chart and the table of areas."""
        found = [(each.name, each.task.risk(each.values, each.labels)) for each in facts.curves]
        curves = [(name, curve) for name, curve in found if curve is not None]
        if not curves:
            return
        yield Row([_chart(facts, curves, "risk"), _chart(facts, curves, "generalized_risk")])
        rows = [
            [name, value_cell(curve.aurc), value_cell(curve.augrc), *_at(curve)] for name, curve in curves
        ]
        columns = ["model", "AURC", "AUGRC", *(f"error at {share:.0%}" for share in SHARES)]
        note = (
            "Areas under the two curves (lower is better), and the error if the least certain rows "
            "are left to a person."
        )
        yield Table(columns, rows, "", note, numbers=range(1, len(columns)))


SHARES = (0.8, 0.9, 1.0)
KINDS = {
    "risk": (
        "Error by coverage",
        "error of these rows",
        "The most certain rows are predicted first; the table has the areas under the curves.",
    ),
    "generalized_risk": (
        "Generalized risk by coverage",
        "share predicted and wrong",
        "Wrong predictions as a share of all rows, also of those that are not predicted.",
    ),
}
"""Title, axis and caption of each curve."""


def _at(curve: Curve) -> list[object]:
    rows = len(curve.risk)
    return [value_cell(float(curve.risk[max(round(share * rows), 1) - 1])) for share in SHARES]


def _chart(facts: Facts, curves: list[tuple[str, Curve]], kind: str) -> Chart:
    top = max(float(getattr(curve, kind)[len(curve.risk) // 20 :].max()) for _, curve in curves)
    title, axis, caption = KINDS[kind]
    found = [Line(name, curve.coverage, getattr(curve, kind), facts.series(name)) for name, curve in curves]
    spec = lines(
        found, Axis("share of the rows that is predicted", (0, 1)), Axis(axis, (0, max(top * 1.1, 1e-3)))
    )
    return Chart(title, spec, caption, [(line.series, line.name) for line in found])

"""Risk-coverage curves: the error of a model that predicts only the rows of which it is most certain."""

from __future__ import annotations

from collections.abc import Iterator

from committee.metrics.risk import RiskCoverage as Curve
from committee.report.blocks import Block, Chart, Row, Table
from committee.report.cells import value_cell
from committee.report.charts.frame import Frame
from committee.report.charts.scale import Scale
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


def _at(curve: Curve) -> list[object]:
    rows = len(curve.risk)
    return [value_cell(float(curve.risk[max(round(share * rows), 1) - 1])) for share in SHARES]


def _chart(facts: Facts, curves: list[tuple[str, Curve]], kind: str) -> Chart:
    top = max(float(getattr(curve, kind)[len(curve.risk) // 20 :].max()) for _, curve in curves)
    label = "error of these rows" if kind == "risk" else "share predicted and wrong"
    frame = Frame(Scale(0, 1), Scale(0, max(top * 1.1, 1e-3)), "share of the rows that is predicted", label)
    for name, curve in curves:
        frame.line(curve.coverage, getattr(curve, kind), facts.series(name), name)
    title = "Error by coverage" if kind == "risk" else "Generalized risk by coverage"
    return Chart(title, frame.svg(title), "", [(facts.series(name), name) for name, _ in curves])

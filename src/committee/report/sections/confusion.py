"""Which class is predicted for which on the test split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from committee.pipeline.shared.reports import Report
from committee.report.blocks import Block, Chart, Row, Table
from committee.report.cells import name_of
from committee.report.charts.heat import DRAWN, heat_map
from committee.report.facts import Facts
from committee.report.sections.base import ReportSection

LISTED = 10


class Confusion(ReportSection):
    """The confusion matrices of the best model and of the best single member, and the most frequent mistakes.

    See Also
    --------
    committee.report.sections.classes.Classes : Scores of each class.
    """

    title = "Confusion"
    order = 70

    def applies(self, facts: Facts) -> bool:
        """Return whether a report has a confusion matrix or mistakes."""
        return any(report.get("confusion") or report.get("mistakes") for report in facts.shown)

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the matrices and the mistakes."""
        shown = facts.shown[:2]
        charts = [_chart(report) for report in shown if report.get("confusion")]
        if charts:
            yield Row(charts)
        for report in shown[:1]:
            rows = [
                [str(each["class"]), str(each["predicted"]), str(each["n"])]
                for each in report.get("mistakes", ())[:LISTED]
            ]
            if rows:
                title = f"Most frequent mistakes of {name_of(report)} on the test split"
                yield Table(["class", "predicted as", "images"], rows, title, numbers=(2,))


def _chart(report: Report) -> Chart:
    counts = np.array(report["confusion"], np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    names = [str(each["class"]) for each in report["per_class"]] if report.get("per_class") else []
    if len(names) != len(counts):
        names = [str(index) for index in range(len(counts))]
    texts = [[_written(int(count)) for count in row] for row in counts]
    caption = "Rows: true class; columns: predicted class; color: share of the row."
    if len(counts) > DRAWN:
        caption += (
            f" Each of the {len(counts)} x {len(counts)} pixels is a pair of classes, in the order of "
            "the table below."
        )
    return Chart(name_of(report), heat_map(shares, names, names, caption, texts), caption)


def _written(number: int) -> str:
    """Return a count that fits into a square."""
    return str(number) if number < 10_000 else f"{number / 1000:.0f}k"

"""Which class is predicted for which on the test split."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from committee.errors import printable
from committee.pipeline.shared.reports import Report
from committee.report.blocks import Block, Chart, Row, Table
from committee.report.cells import name_of
from committee.report.charts.heat import heat_map
from committee.report.facts import Facts
from committee.report.sections.base import ReportSection

LISTED = 10
SHOWN = 50
"""Most classes of a matrix: of more, those that are most often confused are shown."""


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
    names = [printable(str(each["class"])) for each in report["per_class"]] if report.get("per_class") else []
    if len(names) != len(counts):
        names = [str(index) for index in range(len(counts))]
    kept = most_confused(counts)
    caption = f"{_right(counts)} Rows: true class; columns: predicted class; color: share of the row."
    if len(kept) < len(counts):
        caption += f" Of the {len(counts)} classes, those {len(kept)} that are most often confused are shown."
    few, labels = np.ix_(kept, kept), [names[place] for place in kept]
    texts = [[_written(int(count)) for count in row] for row in counts[few]]
    spec = heat_map(shares[few], labels, labels, texts, "predicted class", "true class")
    return Chart(name_of(report), spec, caption)


def most_confused(counts: NDArray[np.float64]) -> list[int]:
    """Return the classes of a confusion matrix [C, C] that a chart shows, in their order."""
    wrong = counts - np.diag(np.diag(counts))
    mistakes = wrong.sum(axis=0) + wrong.sum(axis=1)
    kept: list[int] = np.sort(np.argsort(-mistakes, kind="stable")[:SHOWN]).tolist()
    return kept


def _right(counts: NDArray[np.float64]) -> str:
    return f"{np.trace(counts):.0f} of {counts.sum():.0f} are right."


def _written(number: int) -> str:
    """Return a count that fits into a square."""
    return str(number) if number < 10_000 else f"{number / 1000:.0f}k"

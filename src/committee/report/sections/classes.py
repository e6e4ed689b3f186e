"""Scores of each class of the test split."""

from __future__ import annotations

from collections.abc import Iterator

from committee.report.bars import Scale, value_bar
from committee.report.blocks import Block, Cell, Table, Text
from committee.report.cells import name_of, value_cell
from committee.report.details import SCORES
from committee.report.facts import Facts
from committee.report.sections.base import ReportSection

MOST = 300


class Classes(ReportSection):
    """A table of the recommended model, with the scores of the best single member beside it.

    See Also
    --------
    committee.metrics.per_class : How they are computed.
    """

    title = "Classes"
    order = 80

    def applies(self, facts: Facts) -> bool:
        """Return whether a report has scores of classes."""
        return any(report.get("per_class") for report in facts.shown)

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the table."""
        report = next(each for each in facts.shown if each.get("per_class"))
        found = report["per_class"]
        scores = [key for key in SCORES if any(key in each for each in found)]
        counts = [key for key in ("n", "n_images") if any(key in each for each in found)]
        main = "f1" if "f1" in scores else scores[0]
        scale = Scale(0, 1)
        rows = []
        for each in found[:MOST]:
            bar = Cell("", each[main], value_bar(each[main] or 0.0, scale))
            values = [value_cell(each[key]) for key in scores]
            rows.append(
                [str(each["class"]), *values, bar, *(Cell(str(each[key]), each[key]) for key in counts)]
            )
        columns = ["class", *scores, "", *counts]
        title = f"{name_of(report)} on the test split"
        note = (
            ""
            if len(found) <= MOST
            else f"The first {MOST} of {len(found)} classes; metrics.json has all of them."
        )
        numbers = (*range(1, len(scores) + 1), *range(len(scores) + 2, len(columns)))
        yield Table(columns, rows, title, note, filtered=len(rows) > 12, numbers=numbers)
        if report.get("absent_classes"):
            listed = ", ".join(map(str, report["absent_classes"][:20]))
            yield Text(f"Classes without images in the test split: {listed}.", "warning")

"""Prediction sets, abstention and prediction intervals: what coverage costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from committee.metrics.conformal import METHODS
from committee.pipeline.shared.reports import Report
from committee.report.blocks import Block, Chart, Details, Row, Table
from committee.report.cells import name_of
from committee.report.charts.axes import Axis
from committee.report.charts.lines import Line, lines
from committee.report.details import sets_tables
from committee.report.facts import Facts
from committee.report.sections.base import ReportSection


class Sets(ReportSection):
    """The sets or intervals of the recommended model on the test split.

    See Also
    --------
    committee.metrics.conformal : How sets are calibrated.
    """

    title = "Prediction sets and abstention"
    order = 90

    def applies(self, facts: Facts) -> bool:
        """Return whether a model with curves has sets."""
        return any(report.get("sets") for report in facts.shown)

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the charts of sets, and the tables."""
        report = next(each for each in facts.shown if each.get("sets"))
        charts = list(_charts(report, report["sets"]))
        tables = [*_tables(report)]
        if charts:
            yield Row(charts)
            yield Details("These sets and answers in numbers", tables)
        else:
            yield from tables


def _tables(report: Report) -> Iterator[Table]:
    for title, columns, rows in sets_tables(report):
        if rows:
            text = [["" if cell is None else str(cell) for cell in row] for row in rows]
            yield Table(columns, text, f"{name_of(report)}: {title}")


def _charts(report: Report, found: Mapping[str, Any]) -> Iterator[Chart]:
    methods = [method for method in METHODS if found.get(method)]
    if methods:
        yield _sizes({method: found[method] for method in methods})
    kept = [each for each in found.get("abstain") or () if each["accuracy"] is not None]
    if len(kept) > 1:
        yield _abstention(name_of(report), kept)


def _sizes(methods: Mapping[str, Mapping[str, Any]]) -> Chart:
    """Return the mean size of the sets of each method by their coverage."""
    found = [
        Line(
            method,
            [each["coverage"]["value"] for each in sets.values()],
            [each["mean_size"]["value"] for each in sets.values()],
            series,
            notes=[f"wanted coverage {wanted}" for wanted in sets],
        )
        for series, (method, sets) in enumerate(methods.items())
    ]
    spec = lines(found, Axis("coverage on the test split"), Axis("mean number of classes in a set"))
    caption = f"Lower and further right is better. {_words(methods)}"
    return Chart("Set size by coverage", spec, caption, list(enumerate(methods)))


def _words(methods: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the sizes at the largest coverage in words."""
    last = {method: list(sets.items())[-1] for method, sets in methods.items() if sets}
    sizes = [f"{method} {found['mean_size']['value']:.3g}" for method, (_, found) in last.items()]
    wanted = ", ".join(dict.fromkeys(coverage for coverage, _ in last.values()))
    return f"Mean sizes at wanted coverage {wanted}: {', '.join(sizes)}." if sizes else ""


def _abstention(name: str, kept: Sequence[Mapping[str, float]]) -> Chart:
    """Return the accuracy by the share that is answered."""
    notes = [f"confidence at least {each['confidence']}" for each in kept]
    line = Line("", [each["answered"] for each in kept], [each["accuracy"] for each in kept], 0, notes=notes)
    spec = lines([line], Axis("share that is answered", (0, 1)), Axis("accuracy of the answers"))
    least = min(kept, key=lambda each: each["answered"])
    caption = (
        f"{name} answers only if its best class has at least some probability: with at least "
        f"{least['confidence']}, {least['answered']:.1%} are answered, with an accuracy of "
        f"{least['accuracy']:.4f}."
    )
    return Chart("Abstention", spec, caption)

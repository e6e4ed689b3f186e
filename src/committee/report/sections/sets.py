"""Prediction sets, abstention and prediction intervals: what coverage costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from committee.metrics.conformal import METHODS
from committee.pipeline.shared.reports import Report
from committee.report.blocks import Block, Chart, Details, Row, Table
from committee.report.cells import name_of
from committee.report.charts.frame import Frame
from committee.report.charts.scale import Scale
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
    every = [each for found in methods.values() for each in found.values()]
    wanted = [float(coverage) for found in methods.values() for coverage in found]
    xs = Scale.of([*(each["coverage"]["value"] for each in every), *wanted])
    ys = Scale.of([each["mean_size"][end] for each in every for end in ("low", "high")])
    frame = Frame(xs, ys, "coverage on the test split", "mean number of classes in a set")
    for series, (method, found) in enumerate(methods.items()):
        points = [(each["coverage"]["value"], each["mean_size"]["value"]) for each in found.values()]
        frame.line([x for x, _ in points], [y for _, y in points], series, style="thin")
        for name, (x, y) in zip(found, points, strict=True):
            frame.point(x, y, series, f"{method}, wanted coverage {name}: {x:.3f} with {y:.2f} classes")
    caption = "Lower and further right is better."
    return Chart("Set size by coverage", frame.svg("Set size by coverage"), caption, list(enumerate(methods)))


def _abstention(name: str, kept: Sequence[Mapping[str, float]]) -> Chart:
    """Return the accuracy by the share that is answered."""
    points = [(each["answered"], each["accuracy"]) for each in kept]
    ys = Scale.of([y for _, y in points])
    frame = Frame(Scale(0, 1), ys, "share that is answered", "accuracy of the answers")
    frame.line([x for x, _ in points], [y for _, y in points], 0)
    for each, (x, y) in zip(kept, points, strict=True):
        title = f"confidence at least {each['confidence']}: {x:.1%} answered, accuracy {y:.4f}"
        frame.point(x, y, 0, title)
    caption = f"{name} answers only if its best class has at least some probability."
    return Chart("Abstention", frame.svg("Accuracy by the share that is answered"), caption)

"""All evaluated models, best first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from committee.errors import printable
from committee.pipeline.shared.rankings import ranking_of
from committee.pipeline.shared.reports import Report
from committee.report.bars import Scale
from committee.report.blocks import Block, Cell, Table
from committee.report.cells import better, interval_cell, latency, name_of, scale_of, size
from committee.report.facts import Facts
from committee.report.sections.base import ReportSection
from committee.report.text import OVER_CALIBRATED, gain_in_words, is_over_calibrated, than_source

CROSS_FITTED, TEST = "cross_fitted", "metrics"
"""The parts of reports that have scores."""


class Leaderboard(ReportSection):
    """A table that can be sorted and filtered, with intervals as bars.

    See Also
    --------
    committee.report.leaderboard.leaderboard : The same as a list.
    """

    title = "Leaderboard"
    order = 20

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the table."""
        metrics = list(dict.fromkeys([facts.metric, ranking_of(facts.reports).beside]))
        scores = [score for metric in metrics for score in _scores(metric, facts.reports)]
        columns = ["model", *(score.title for score in scores), f"{facts.metric} gain", "ms", "MB"]
        rows = [
            [
                Cell(name_of(report), note=_kind(report)),
                *(score.cell(report) for score in scores),
                _gain(report, facts.metric),
                latency(report),
                size(report),
            ]
            for report in facts.reports
        ]
        named = facts.recommendation.name if facts.recommendation is not None else None
        marked = [row for row, report in enumerate(facts.reports) if report["name"] == named]
        numbers = (len(columns) - 2, len(columns) - 1)
        note = _note(facts, metrics)
        yield Table(columns, rows, "", note, filtered=len(rows) > 1, marked=marked, numbers=numbers)


class _Score(NamedTuple):
    """A column of scores: a metric of one part of reports, on the scale that its parts share."""

    metric: str
    part: str
    scale: Scale

    @property
    def title(self) -> str:
        return f"{self.metric} {'cross-fitted' if self.part == CROSS_FITTED else 'test'}"

    def cell(self, report: Report) -> Cell:
        is_first = self.part == CROSS_FITTED
        mark = (
            ("*" if report.get("rows") == "val" else "") if is_first else ("+" if report.get("seen") else "")
        )
        return interval_cell(
            report[self.part].get(self.metric), self.metric, self.scale, 0 if is_first else 1, mark
        )


def _scores(metric: str, reports: Sequence[Report]) -> list[_Score]:
    """Return the columns of a metric: cross-fitted, and on the test split if there is one."""
    parts = [part for part in (CROSS_FITTED, TEST) if any(metric in report[part] for report in reports)]
    scale = scale_of([report[part].get(metric) for report in reports for part in parts])
    return [_Score(metric, part, scale) for part in parts]


def _kind(report: Report) -> str:
    return f"{report.get('method') or report.get('backbone') or report['kind']}, {report['inference']}"


def _note(facts: Facts, metrics: Sequence[str]) -> str:
    directions = ", ".join(f"{metric}: {better(metric)}" for metric in metrics)
    note = (
        f"Best cross-fitted {facts.metric} first ({directions}); the recommended model is marked. Lines are "
        "95% intervals. Cross-fitted scores are of rows that neither the networks nor the combiner were "
        "fitted on. Below each name: its method or backbone, and the networks that predict (refit, or those "
        "of the folds). ms: median for one photo; MB: weights."
    )
    if any(report.get("rows") == "val" for report in facts.reports):
        note += " * Scored on the val split: these members have no out-of-fold predictions."
    if any(is_over_calibrated((report.get("gain") or {}).get(facts.metric)) for report in facts.reports):
        note += f" {OVER_CALIBRATED}"
    if any(report.get("seen") for report in facts.reports):
        note += " + May be too good: an adopted member may have been trained on some of the test images."
    return note


def _gain(report: Report, metric: str) -> Cell:
    gains: Mapping[str, Any] = report.get("gain") or {}
    if not gains:
        return Cell("")
    found = gains.get(metric)
    proven = found is not None and bool(found["proven"])
    value = float(found["value"]) if found is not None else None
    note = printable(than_source(report, found))
    return Cell(gain_in_words(found), value, style="proven" if proven else "muted", note=note)

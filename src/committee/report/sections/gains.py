"""Paired differences of all combinations from the best single member: a forest plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from committee.pipeline.shared.rankings import ranking_of
from committee.report.blocks import Block, Cell, Chart, Table
from committee.report.cells import name_of
from committee.report.charts.forest import SERIES, forest
from committee.report.facts import Facts
from committee.report.sections.base import ReportSection
from committee.report.text import score

DRAWN = 30
"""Most models of a chart."""


class Gains(ReportSection):
    """A forest plot and a table for the ranking metric, and for the one beside it.

    See Also
    --------
    committee.scoring.gains : How gains are computed.
    """

    title = "Gains over the best single member"
    order = 30

    def applies(self, facts: Facts) -> bool:
        """Return whether any model has gains."""
        return any(report.get("gain") for report in facts.reports)

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield a table for each metric."""
        for metric in dict.fromkeys([facts.metric, ranking_of(facts.reports).beside]):
            listed = [
                (name_of(report), report["gain"][metric])
                for report in facts.reports
                if metric in (report.get("gain") or {})
            ]
            if not listed:
                continue
            listed.sort(key=lambda each: -each[1]["value"])
            others = {str(gain["against"]) for _, gain in listed}
            rows = [
                [
                    name,
                    Cell(score(metric, gain), gain["value"], style="score"),
                    _verdict(gain, named=len(others) > 1),
                ]
                for name, gain in listed
            ]
            other = others.pop() if len(others) == 1 else "best single member"
            note = (
                f"Paired differences from the {other} on the same rows; right of the dashed line (0) is "
                "better. The limits hold for all models of the table together: a gain is proven if its "
                "interval is above 0."
            )
            yield _chart(metric, listed, note)
            yield Table(["model", f"{metric} gain", "verdict"], rows, filtered=len(rows) > DRAWN)


def _chart(metric: str, listed: Sequence[tuple[str, Mapping[str, Any]]], note: str) -> Chart:
    """Return the forest plot of the largest gains."""
    shown = [
        {
            "name": name,
            "series": "proven" if gain["proven"] else "not proven",
            **{key: gain[key] for key in ("value", "low", "high")},
        }
        for name, gain in listed[:DRAWN]
    ]
    if len(listed) > DRAWN:
        note += f" The {DRAWN} largest of {len(listed)} are drawn."
    legend = [(series, name) for name, series in SERIES.items()]
    return Chart(f"Gain in {metric}", forest(shown, f"gain in {metric}"), note, legend, wide=True)


def _verdict(gain: Mapping[str, Any], named: bool) -> Cell:
    """Return whether a gain is proven and, if models are compared with different members, with which."""
    text, style = ("proven", "proven") if gain["proven"] else ("not proven", "muted")
    return Cell(text, style=style, note=f"against the {gain['against']}" if named else "")

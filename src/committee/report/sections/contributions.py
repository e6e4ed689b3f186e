"""What each member contributes to the ensembles, and its weight."""

from __future__ import annotations

from collections.abc import Iterator

from committee.errors import printable
from committee.pipeline.shared.rankings import ranking_of
from committee.report.bars import Scale, value_bar
from committee.report.blocks import Block, Cell, Table
from committee.report.cells import name_of, value_cell
from committee.report.facts import Facts
from committee.report.sections.base import ReportSection

SHOWN, MOST = 3, 60


class Contributions(ReportSection):
    """A table for each of the best ensembles: the loss without a member, and its weight.

    See Also
    --------
    committee.scoring.leave_one_out : How contributions are computed.
    """

    title = "Members of the ensembles"
    order = 110

    def applies(self, facts: Facts) -> bool:
        """Return whether an ensemble has contributions or weights."""
        return any(report.get("contributions") or report.get("weights") for report in facts.reports)

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the tables."""
        metric = ranking_of(facts.reports).default
        listed = [each for each in facts.ensembles if each.get("contributions") or each.get("weights")]
        for report in listed[:SHOWN]:
            increases, weights = report.get("contributions") or {}, report.get("weights") or {}
            names = sorted(
                {*increases, *weights}, key=lambda name: -(increases.get(name, 0), weights.get(name, 0))[0]
            )
            increase_scale = Scale.of([0.0, *increases.values()])
            weight_scale = Scale.of([0.0, *weights.values()])
            rows = [
                [
                    printable(name),
                    *(_bar(increases.get(name), increase_scale, 2, metric) if increases else ()),
                    *(_bar(weights.get(name), weight_scale, 0) if weights else ()),
                ]
                for name in names[:MOST]
            ]
            columns = ["member"]
            columns += [f"increase of {metric} without it", ""] if increases else []
            columns += ["weight", ""] if weights else []
            note = "Cross-fitted; below 0, the ensemble is better without the member." if increases else ""
            if len(names) > MOST:
                note += f" The first {MOST} of {len(names)} members."
            yield Table(columns, rows, name_of(report), note, numbers=(1, 3))


def _bar(value: float | None, scale: Scale, series: int, metric: str = "") -> list[Cell]:
    if value is None:
        return [Cell(""), Cell("")]
    shown = series if value >= 0 else 1
    return [value_cell(value, metric), Cell("", value, value_bar(value, scale, shown))]

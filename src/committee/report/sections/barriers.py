"""Soups: the loss barriers between the networks whose weights were averaged, and who was left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from committee.errors import printable
from committee.report.bars import Scale, value_bar
from committee.report.blocks import Block, Cell, Table
from committee.report.cells import name_of
from committee.report.facts import Facts
from committee.report.sections.base import ReportSection


class Barriers(ReportSection):
    """A table of each soup.

    See Also
    --------
    committee.training.fit.barriers : How they are measured.
    """

    title = "Soups"
    order = 150

    def applies(self, facts: Facts) -> bool:
        """Return whether a member is a soup with barriers."""
        return any(_provenance(report).get("barriers") for report in facts.reports)

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the tables."""
        for report in facts.reports:
            found = _provenance(report)
            barriers: Mapping[str, float] = found.get("barriers") or {}
            if not barriers:
                continue
            weights, aligned = found.get("weights") or {}, found.get("aligned") or {}
            left_out = found.get("left_out") or {}
            before = (
                {name: value for name, value in aligned.items() if isinstance(value, float | int)}
                if isinstance(aligned, Mapping)
                else {}
            )
            scale = Scale.of([0.0, *map(float, barriers.values()), *map(float, before.values())])
            rows = [
                [
                    printable(name),
                    Cell(f"{barrier:.3f}", float(barrier), value_bar(float(barrier), scale, 1)),
                    Cell(f"{before[name]:.3f}", float(before[name])) if name in before else "",
                    _weight(weights, name),
                    "left out" if name in left_out else "",
                ]
                for name, barrier in barriers.items()
            ]
            note = (
                "The barrier is by how much the loss rises between the two networks when their "
                "weights are mixed; networks with a high barrier are not averaged."
            )
            yield Table(
                ["network", "loss barrier", "before alignment", "weight", ""], rows, name_of(report), note
            )


def _provenance(report: Mapping[str, Any]) -> Mapping[str, Any]:
    return report.get("provenance") or {}


def _weight(weights: object, name: str) -> Cell:
    value = weights.get(name) if isinstance(weights, Mapping) else None
    return Cell("") if value is None else Cell(f"{value:.3f}", float(value))

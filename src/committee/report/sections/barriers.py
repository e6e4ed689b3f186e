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
        return any(_soup(report).get("barriers") for report in facts.reports)

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the tables."""
        for report in facts.reports:
            found = _soup(report)
            barriers: Mapping[str, float] = found.get("barriers") or {}
            if not barriers:
                continue
            weights, aligned = found.get("weights") or {}, found.get("aligned") or {}
            losses: Mapping[str, float] = found.get("losses") or {}
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
                    _number(losses, name),
                    _barrier(barriers, name, scale),
                    _number(before, name),
                    _number(weights, name),
                    "left out" if name in left_out else "",
                ]
                for name in dict.fromkeys([*losses, *barriers])
            ]
            note = (
                "The barrier is by how much the loss rises between the two networks when their "
                "weights are mixed; networks with a high barrier are not averaged."
            )
            yield Table(
                ["network", "loss alone", "loss barrier", "before alignment", "weight", ""],
                rows,
                name_of(report),
                note,
            )


def _soup(report: Mapping[str, Any]) -> Mapping[str, Any]:
    return (report.get("provenance") or {}).get("soup") or {}


def _number(found: object, name: str) -> Cell:
    value = found.get(name) if isinstance(found, Mapping) else None
    return Cell("") if value is None else Cell(f"{value:.3f}", float(value))


def _barrier(barriers: Mapping[str, float], name: str, scale: Scale) -> Cell:
    """Return the barrier of a network; an empty cell for the one from which barriers are measured."""
    if name not in barriers:
        return Cell("")
    value = float(barriers[name])
    return Cell(f"{value:.3f}", value, value_bar(value, scale, 1))

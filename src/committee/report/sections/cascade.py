"""The share of images that each network of a cascade or a mixture processes, and the time that it saves."""

from __future__ import annotations

from collections.abc import Iterator

from committee.errors import printable
from committee.report.bars import Scale, value_bar
from committee.report.blocks import Block, Cell, Table, Text
from committee.report.cells import name_of
from committee.report.facts import Facts
from committee.report.sections.base import ReportSection

TIMES = {"mean": "mean ms", "median": "median ms", "p95": "p95 ms", "dense_median": "median ms, all networks"}


class Cascade(ReportSection):
    """Tables of each model that runs only some of its networks for an image.

    See Also
    --------
    committee.combiners.Cascade : Stops when it is certain.
    """

    title = "Networks that run"
    order = 120

    def applies(self, facts: Facts) -> bool:
        """Return whether a model skips networks."""
        return any(report.get("conditional") for report in facts.reports)

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the tables."""
        for report in facts.reports:
            found = report.get("conditional")
            if not found:
                continue
            rows = [
                [printable(name), Cell(f"{share:.1%}", share, value_bar(share, Scale(0, 1)))]
                for name, share in found.get("used_members", {}).items()
            ]
            yield Table(["network", "share of the test images"], rows, name_of(report))
            kept = found.get("accuracy_kept")
            if kept:
                yield Text(
                    f"Its accuracy is {kept['cross_fitted']:.4f} times that of all members together "
                    "(cross-fitted; "
                    f"{kept['test']:.4f} on the test split)."
                )
            times = found.get("latency_ms") or []
            keys = [key for key in TIMES if any(key in each for each in times)]
            timed = [
                [
                    str(each["batch"]),
                    *(Cell(f"{each[key]:.1f}", each[key]) if key in each else "" for key in keys),
                ]
                for each in times
            ]
            if timed:
                yield Table(
                    ["images per call", *(TIMES[key] for key in keys)], timed, numbers=range(1, len(keys) + 1)
                )

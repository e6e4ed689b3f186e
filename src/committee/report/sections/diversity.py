"""How differently members err: a heat map of pairs, and a dendrogram."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from committee.errors import printable
from committee.metrics.diversity import pairwise_diversity
from committee.report.blocks import Block, Chart, Row
from committee.report.charts.heat import heat_map
from committee.report.charts.tree import dendrogram
from committee.report.facts import COMPARED, Facts
from committee.report.sections.base import ReportSection

ROWS = 20_000


class Diversity(ReportSection):
    """Pairwise disagreement of the best single members on the test split.

    See Also
    --------
    committee.metrics.pairwise_diversity : The measures.
    """

    title = "Diversity of members"
    order = 100

    def applies(self, facts: Facts) -> bool:
        """Return whether there are two members to compare."""
        return len(facts.singles) > 1

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the heat map and the dendrogram."""
        rows = facts.compared
        if rows is None or len(rows.members) < 2:
            return
        if len(rows) > ROWS:
            rows = rows.rows(np.sort(np.random.default_rng(0).permutation(len(rows))[:ROWS]))
        found = pairwise_diversity(rows, "disagreement")
        tree, order = dendrogram(found, [printable(name) for name in rows.members], "Members by disagreement")
        found = found[np.ix_(order, order)]
        names = [printable(rows.members[place]) for place in order]
        most = float(found.max()) or 1.0
        texts = [[f"{value:.3f}".removeprefix("0") for value in row] for row in found.tolist()]
        what = (
            "share of rows for which exactly one of the two is right"
            if facts.reports[0].get("confusion") is not None
            else "mean squared difference in units of the variance"
        )
        caption = f"Disagreement on {len(rows)} rows: {what}; the largest is {most:.4g}."
        if len(facts.singles) > COMPARED:
            caption += f" The best {COMPARED} of {len(facts.singles)} members."
        drawing = heat_map(found / most, names, names, caption, texts)
        yield Row(
            [
                Chart("Pairs of members", drawing, caption),
                Chart(
                    "Groups of members",
                    tree,
                    "Members that are joined further left err on the same rows (average linkage).",
                ),
            ]
        )

"""How differently members err: a heat map of pairs, and a dendrogram."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from committee.errors import printable
from committee.metrics.diversity import pairwise_diversity
from committee.report.blocks import Block, Chart, Row
from committee.report.charts.heat import heat_map
from committee.report.charts.tree import clusters, tree
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
        groups = clusters(found)
        order = groups["leaves"]
        found = found[np.ix_(order, order)]
        names = [printable(rows.members[place]) for place in order]
        most = float(found.max()) or 1.0
        texts = [[f"{value:.3f}".removeprefix("0") for value in row] for row in found.tolist()]
        what = (
            "share of rows for which exactly one of the two is right"
            if facts.reports[0].get("confusion") is not None
            else "mean squared difference in units of the variance"
        )
        caption = f"Disagreement on {len(rows)} rows: {what}. {_extremes(found, names)}"
        if len(facts.singles) > COMPARED:
            caption += f" The best {COMPARED} of {len(facts.singles)} members."
        pairs = heat_map(found / most, names, names, texts, "member", "other member")
        joined = "Members that are joined further left err on the same rows (average linkage)."
        yield Row(
            [
                Chart("Pairs of members", pairs, caption),
                Chart("Groups of members", tree(groups, names, "disagreement"), joined),
            ]
        )


def _extremes(found: NDArray[np.float64], names: Sequence[str]) -> str:
    """Return in words which of the pairs are most and least alike."""
    above = np.triu_indices(len(names), 1)
    values = found[above]
    (one, other), (first, second) = (
        (names[above[0][place]], names[above[1][place]]) for place in (values.argmin(), values.argmax())
    )
    least = f"It is smallest between {one} and {other} ({values.min():.4g})"
    return f"{least}, and largest between {first} and {second} ({values.max():.4g})."

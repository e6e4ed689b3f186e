"""The rows on which the recommended model is wrong and most certain, or has its largest errors."""

from __future__ import annotations

from collections.abc import Iterator

from committee.report.blocks import Block, Gallery
from committee.report.facts import Facts
from committee.report.sections._cards import cards_of
from committee.report.sections._worst import worst_rows
from committee.report.sections.base import ReportSection


class Mistakes(ReportSection):
    """A gallery with the votes of the members.

    See Also
    --------
    committee.report.sections.label_errors.LabelErrors : Labels that may be wrong.
    """

    title = "Confident mistakes"
    order = 160

    def applies(self, facts: Facts) -> bool:
        """Return whether rows are images, and not pixels."""
        return bool(facts.curves) and facts.record is not None and not facts.record.kind.dense

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the gallery."""
        found = facts.curves[0]
        worst = worst_rows(found)
        if not len(worst.places):
            return
        lines = [[("true", one), ("predicted", other)] for one, other in worst.words]
        what = "rows with the largest errors"
        if worst.are_wrong:
            what = f"of {worst.count} mistakes whose true class is least probable"
        text = f"{found.name}, {found.split} rows: the {len(worst.places)} {what}."
        title = "Most confident mistakes" if worst.are_wrong else "Largest errors"
        cards = cards_of(facts, found.rows, worst.places, lines)
        yield Gallery(title, text + facts.about_images, cards)

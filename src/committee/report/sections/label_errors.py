"""Training rows whose label is probably wrong: the members, which did not see them, do not believe it."""

from __future__ import annotations

from collections.abc import Iterator

from committee.report.blocks import Block, Gallery
from committee.report.facts import Facts
from committee.report.sections._cards import cards_of
from committee.report.sections._worst import worst_rows
from committee.report.sections.base import ReportSection


class LabelErrors(ReportSection):
    """A gallery of out-of-fold rows by the probability of their label (self-confidence), the smallest first.

    References
    ----------
    C. Northcutt, L. Jiang, I. Chuang (2021). Confident learning: estimating uncertainty in dataset labels.
    Journal of Artificial Intelligence Research 70.

    See Also
    --------
    committee.report.sections.mistakes.Mistakes : Mistakes on the test split.
    """

    title = "Labels that may be wrong"
    order = 180

    def applies(self, facts: Facts) -> bool:
        """Return whether there are out-of-fold predictions of images."""
        dense = facts.record is None or facts.record.kind.dense
        return bool(facts.reports) and not dense and facts.held_out is not None

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the gallery."""
        found = facts.held_out
        assert found is not None
        worst = worst_rows(found)
        if not len(worst.places):
            return
        lines = [
            [("label", one), ("members", other), *([("probability", share)] if worst.are_wrong else [])]
            for (one, other), share in zip(worst.words, worst.shares, strict=True)
        ]
        text = (
            "Training rows, each predicted by the networks that did not see it, whose label is least "
            "probable to the "
            "mean of the members. Look at them before you correct them: an image that is hard looks the same."
        )
        cards = cards_of(facts, found.rows, worst.places, lines)
        yield Gallery("Least probable labels", text + facts.about_images, cards)

"""The samples on which the members of the best ensemble disagree most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from committee.errors import printable
from committee.pipeline.shared.reports import Report
from committee.report.blocks import Block, Card, Gallery
from committee.report.cells import name_of
from committee.report.details import label_text, votes_text
from committee.report.facts import Facts
from committee.report.sections._cards import LISTED, image_of, votes_on
from committee.report.sections.base import ReportSection


class Disagreement(ReportSection):
    """A gallery with the votes of the members.

    See Also
    --------
    committee.metrics.per_sample_disagreement : The measure.
    """

    title = "Disagreement of members"
    order = 170

    def applies(self, facts: Facts) -> bool:
        """Return whether an ensemble lists samples, which are images and not pixels."""
        return _report(facts) is not None and facts.record is not None and not facts.record.kind.dense

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the gallery."""
        report = _report(facts)
        assert report is not None
        listed = report["disagreement"][:LISTED]
        votes = votes_on(facts, [str(each["sample_id"]) for each in listed])
        cards = [_card(facts, each, cast) for each, cast in zip(listed, votes, strict=True)]
        text = f"The members of {name_of(report)}, on the rows that it was fitted on."
        yield Gallery("Most disagreement", text + facts.about_images, cards)


def _report(facts: Facts) -> Report | None:
    return next((report for report in facts.ensembles if report.get("disagreement")), None)


def _card(facts: Facts, found: Mapping[str, Any], votes: list[tuple[str, str]]) -> Card:
    sample = str(found["sample_id"])
    truth = printable(str(label_text(found["label"])))
    lines = [("true", truth), ("disagreement", f"{found['disagreement']:.4g}")]
    if not votes:
        lines.append(("votes", printable(votes_text(found))))
    return Card(printable(sample), image_of(facts, sample), lines, votes)

"""The section of the recipe about the report of a run."""

from __future__ import annotations

from pydantic import Field

from committee.recipe.section import Section


class Report(Section):
    """The report of a run: one HTML file that works offline."""

    enable: bool = Field(
        True,
        description="Write `report.html` into the store at the end of a run, as `committee report` does.",
    )

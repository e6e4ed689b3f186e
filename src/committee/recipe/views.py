"""Settings of a set of test-time views."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from committee.base.registry import Family
from committee.recipe.section import Section, check_options, entry_of, or_text

VIEWS: Family[Any] = Family("committee.models.views", "set of views")


class ViewSet(Section):
    """A set of test-time views with its options."""

    model_config = ConfigDict(extra="allow")

    name: entry_of(VIEWS.package) = Field(  # type: ignore[valid-type]
        description="Name of the set; further keys are its options."
    )

    @model_validator(mode="after")
    def _check_options(self) -> ViewSet:
        check_options(VIEWS, str(self.name), self.options)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Options of the set."""
        return dict(self.model_extra or {})


AnyViewSet = Annotated[ViewSet, or_text(ViewSet, "name")]

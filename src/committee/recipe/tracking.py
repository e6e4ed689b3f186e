"""Where the numbers of runs go: the section `tracking`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from committee.base.registry import Family
from committee.recipe.section import Section, check_options, entry_of, or_text

TRACKERS: Family[Any] = Family("committee.trackers", "tracker")


class Tracking(Section):
    """A tracker with its options.

    Examples
    --------
    >>> from committee.recipe.load import load_recipe
    >>> recipe = load_recipe(None, ["tracking={name: csv, folder: logs}"])
    >>> recipe.tracking[0].options
    {'folder': 'logs'}
    """

    model_config = ConfigDict(extra="allow")

    name: entry_of(TRACKERS.package) = Field(  # type: ignore[valid-type]
        description="Name of the tracker; further keys are its options."
    )

    @model_validator(mode="after")
    def _check_options(self) -> Tracking:
        check_options(TRACKERS, str(self.name), self.options)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Options of the tracker."""
        return dict(self.model_extra or {})


def _listed(value: Any) -> Any:
    """Return one tracker as a list."""
    return [value] if isinstance(value, str | dict) else value


AnyTracker = Annotated[Tracking, or_text(Tracking, "name")]
Trackings = Annotated[
    list[AnyTracker], BeforeValidator(_listed, json_schema_input_type=AnyTracker | list[AnyTracker])
]

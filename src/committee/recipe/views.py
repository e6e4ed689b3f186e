"""Settings of a set of test-time views."""

from __future__ import annotations

from typing import Annotated, Any, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from committee.base.registry import Family
from committee.errors import nearest
from committee.recipe.section import Section, entry_of, or_text, refuse

VIEWS: Family[Any] = Family("committee.models.views", "set of views")


class ViewSet(Section):
    """A set of test-time views with its options."""

    model_config = ConfigDict(extra="allow")

    name: entry_of(VIEWS.package) = Field(  # type: ignore[valid-type]
        description="Name of the set; further keys are its options."
    )

    @model_validator(mode="after")
    def _check_options(self) -> ViewSet:
        if self.options:
            _check(str(self.name), self.options)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Options of the set."""
        return dict(self.model_extra or {})


AnyViewSet = Annotated[ViewSet, or_text(ViewSet, "name")]


def _check(views: str, options: dict[str, Any]) -> None:
    """Raise a validation error unless each option is a parameter of the set, and of its type."""
    hints = get_type_hints(VIEWS.load(views).__init__)
    known = sorted(VIEWS.options(views))
    for key, value in options.items():
        if key not in known:
            raise refuse(f"an option of {views} ({', '.join(known) or 'none'})", nearest(key, known), key)
        try:
            TypeAdapter(hints[key]).validate_python(value, strict=True)
        except ValidationError as error:
            raise refuse(str(error.errors()[0]["msg"]).lower(), "", key) from None

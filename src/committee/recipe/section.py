"""What all sections of a recipe share: strict types, known keys only, and checks that speak our sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from committee.base.registry import Family
from committee.errors import nearest

SectionType = TypeVar("SectionType", bound="Section")


class Section(BaseModel):
    """A mapping of a recipe: no unknown key, no silent conversion, no change after loading."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_all_defaults(cls, data: Any) -> Any:
        return {} if data is None else data


def refuse(expected: str, todo: str = "", key: str = "") -> PydanticCustomError:
    """Return what a validator raises: what was expected, what to do next, and of which key of the section."""
    return PydanticCustomError("refused", "{expected}", {"expected": expected, "todo": todo, "key": key})


def one_of(choices: Sequence[str], value: str) -> str:
    """Return `value` if it is among `choices`, else raise the complaint that names them and the nearest."""
    if value not in choices:
        raise refuse(f"one of {', '.join(choices)}", nearest(value, choices))
    return value


def entry_of(package: str, *later: str) -> Any:
    """Return the type of a name in the family `package`; `later` are names accepted but not built yet."""
    family: Family[Any] = Family(package, "")

    def check(value: str) -> str:
        return one_of(sorted({*family.names(), *later}), value)

    def list_names(schema: dict[str, Any]) -> None:
        schema["enum"] = sorted({*family.names(), *later})

    return Annotated[str, AfterValidator(check), Field(json_schema_extra=list_names)]


def or_text(section: type[Section], key: str) -> BeforeValidator:
    """Return what lets a section be written as a bare text, the value of its one `key`."""

    def wrap(value: Any) -> Any:
        return {key: value} if isinstance(value, str) else value

    return BeforeValidator(wrap, json_schema_input_type=str | section)


def overlay(base: SectionType, over: Section) -> SectionType:
    """Return `base` with the values that somebody gave in `over`; sections inside are merged the same way."""
    given: dict[str, Any] = {}
    for name in over.model_fields_set & set(type(base).model_fields):
        old, new = getattr(base, name), getattr(over, name)
        # A choice with options of its own is made anew: another's options would not fit.
        both = isinstance(old, Section) and isinstance(new, Section) and new.model_config["extra"] == "forbid"
        given[name] = overlay(old, new) if both else new
    return base.model_copy(update=given)

"""Base class of the sections of a recipe, and helpers for their validators."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from committee.base.registry import Family
from committee.errors import UsageError, nearest
from committee.recipe.expected import expected_of

SectionType = TypeVar("SectionType", bound="Section")


def _shorten(schema: dict[str, Any]) -> None:
    """Keep the first paragraph of the description in a JSON Schema."""
    schema["description"] = schema.get("description", "").partition("\n\n")[0]


class Section(BaseModel):
    """Base class of a mapping in a recipe.

    Unknown keys are errors, types are not converted, and instances are immutable.

    See Also
    --------
    committee.recipe.load.load_recipe : Load and validate a recipe.

    Examples
    --------
    >>> from pydantic import Field
    >>> from committee.recipe.section import Section
    >>> class Size(Section):
    ...     width: int = Field(8, ge=1, description="Width in pixels.")
    >>> Size(width=4).width
    4
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        json_schema_extra=_shorten,
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_all_defaults(cls, data: Any) -> Any:
        return {} if data is None else data


def refuse(expected: str, todo: str = "", key: str = "") -> PydanticCustomError:
    """Return the error that a validator raises.

    Parameters
    ----------
    expected : str
        The valid values.
    todo : str
        What to do next, as a full sentence.
    key : str
        The key of the section that is invalid; empty for the value that is validated.
    """
    return PydanticCustomError("refused", "{expected}", {"expected": expected, "todo": todo, "key": key})


def one_of(choices: Sequence[str], value: str) -> str:
    """Return `value`; raise a validation error with the nearest choice if it is not among `choices`."""
    if value not in choices:
        raise refuse(f"one of {', '.join(choices)}", nearest(value, choices))
    return value


def entry_of(package: str, *others: str, prefix: str = "") -> Any:
    """Return the type of a name in the family `package`.

    Parameters
    ----------
    package : str
        Import path of the family.
    *others : str
        Further names that are valid, such as those of entries without the prefix.
    prefix : str
        Entries whose names start with it are valid, by the rest of their names.
    """
    family: Family[Any] = Family(package, "")

    def choices() -> list[str]:
        entries = (name.removeprefix(prefix) for name in family.names() if name.startswith(prefix))
        return sorted({*entries, *others})

    def check(value: str) -> str:
        return one_of(choices(), value)

    def list_names(schema: dict[str, Any]) -> None:
        schema["enum"] = choices()

    return Annotated[str, AfterValidator(check), Field(json_schema_extra=list_names)]


def check_options(
    family: Family[Any], entry: str, options: Mapping[str, Any], given: Collection[str] = ()
) -> None:
    """Raise a validation error unless each option is a parameter of an entry, and of its type.

    Parameters
    ----------
    family : Family
    entry : str
        Name of the entry; it is loaded only if there are options.
    options : mapping
    given : collection of str
        Parameters of entries that do not come from these options.
    """
    _check_names(family, entry, options, given)
    hints = get_type_hints(family.load(entry).__init__) if options else {}
    for key, value in options.items():
        try:
            TypeAdapter(hints[key]).validate_python(value, strict=True)
        except ValidationError as error:
            raise refuse(expected_of(error.errors()[0]), "", key) from None


def check_constructed(family: Family[Any], entry: str, options: Mapping[str, Any]) -> None:
    """Raise a validation error unless an entry, which checks the values itself, takes these options."""
    _check_names(family, entry, options)
    try:
        _ = family.make(entry, **options) if options else None
    except UsageError as error:
        raise refuse(error.expected, error.todo, error.who if error.who in options else "") from error


def _check_names(
    family: Family[Any], entry: str, options: Collection[str], given: Collection[str] = ()
) -> None:
    known = sorted(name for name in family.options(entry) if name not in given) if options else []
    for key in options:
        if key not in known:
            raise refuse(f"an option of {entry} ({', '.join(known) or 'none'})", nearest(key, known), key)


def or_text(section: type[Section], key: str) -> BeforeValidator:
    """Return a validator that accepts plain text in place of a section, as the value of `key`."""

    def wrap(value: Any) -> Any:
        return {key: value} if isinstance(value, str) else value

    return BeforeValidator(wrap, json_schema_input_type=str | section)


def overlay(base: SectionType, over: Section) -> SectionType:
    """Return `base` updated with the keys that were set in `over`; nested sections are merged recursively."""
    given: dict[str, Any] = {}
    for name in over.model_fields_set & set(type(base).model_fields):
        old, new = getattr(base, name), getattr(over, name)
        # A section that accepts extra keys is a choice with options, which belong to that choice alone.
        merge = (
            isinstance(old, Section) and isinstance(new, Section) and new.model_config["extra"] == "forbid"
        )
        given[name] = overlay(old, new) if merge else new
    return base.model_copy(update=given)

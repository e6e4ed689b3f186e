"""Settings of exports: the formats with their options, and the models to package."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from committee.base.registry import Family
from committee.errors import UsageError
from committee.recipe.expected import expected_of
from committee.recipe.section import Section, check_constructed, entry_of, refuse
from committee.recipe.yaml_text import parse

EXPORTERS: Family[Any] = Family("committee.exporters", "export format")
Format = entry_of(EXPORTERS.package)


class ExportFormat(Section):
    """An export format with its options.

    See Also
    --------
    committee.pipeline.shared.package.package : Writes a model in several formats.

    Examples
    --------
    >>> from committee.recipe.exports import ExportFormat
    >>> ExportFormat.of("onnx").name
    'onnx'
    """

    model_config = ConfigDict(extra="allow")

    format: Format = Field(  # type: ignore[valid-type]
        description="Name of the format; further keys are its options."
    )

    @classmethod
    def of(cls, value: str | ExportFormat) -> ExportFormat:
        """Return the format that a text such as `onnx` or `onnx:OPTION=VALUE` describes.

        Raises
        ------
        UsageError
            There is no such format or option, or its value is not valid.
        """
        if isinstance(value, ExportFormat):
            return value
        try:
            return cls.model_validate(_from_text(value))
        except ValidationError as error:
            details = error.errors()[0]
            raise UsageError(
                f"export format '{value}'",
                expected=expected_of(details),
                todo=str(details.get("ctx", {}).get("todo", "")),
            ) from None

    @model_validator(mode="after")
    def _check_options(self) -> ExportFormat:
        check_constructed(EXPORTERS, self.format, self.options)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Options of the format."""
        return dict(self.model_extra or {})

    @property
    def name(self) -> str:
        """Name of the format's folder in a package: its key, and the values that are not the defaults."""
        values = self.changed.values()
        return "_".join([self.format, *(re.sub(r"[^\w.-]+", "_", str(value)) for value in values)])

    @property
    def changed(self) -> dict[str, Any]:
        """The options whose values are not the defaults, by name."""
        known = EXPORTERS.options(self.format) if self.options else {}
        return {key: value for key, value in sorted(self.options.items()) if value != known[key].default}

    def make(self) -> Any:
        """Return the exporter, constructed with the options.

        Raises
        ------
        UsageError
            There is no such exporter, or the value of an option is not valid.
        """
        return EXPORTERS.make(self.format, **self.options)


def _from_text(value: Any) -> Any:
    """Return the mapping that a text such as `onnx:precision=float16` describes; other values unchanged."""
    if not isinstance(value, str):
        return value
    key, *options = re.split(r":(?=\w+=)", value)
    pairs = (option.partition("=") for option in options)
    return {"format": key, **{name: parse(text, value, lines=False).value for name, _, text in pairs}}


_WithOptions = Annotated[str, Field(pattern=r"^\w+(:\w+=[^,]*)+$")]
_Written: Any = Format | _WithOptions | ExportFormat
AnyFormat = Annotated[ExportFormat, BeforeValidator(_from_text, json_schema_input_type=_Written)]


def _default_formats() -> list[ExportFormat]:
    keys = ("state_dict", "checkpoint", "onnx")
    return [ExportFormat.model_construct({"format"}, format=key) for key in keys]


class Exports(Section):
    """Export of members and ensembles."""

    enable: bool = Field(True, description="Export members and ensembles.")
    formats: list[AnyFormat] = Field(
        default_factory=_default_formats,
        description="Formats of the exported files: names, {format: name, ...options}, or name:option=value.",
    )
    which: Literal["best", "all"] | Annotated[list[str], Field(min_length=1)] = Field(
        "best",
        description="Models to export: best is the best ensemble and the best single member by cross-fitted "
        "log-loss, within pruning.cost_budget; all is every member and ensemble; a list names them.",
    )
    trusted: list[Format] = Field(  # type: ignore[valid-type]
        [],
        description="Formats of files that may be opened although they can run code, beside those of "
        "formats.",
    )

    @model_validator(mode="after")
    def _check_formats_differ(self) -> Exports:
        names = [each.name for each in self.formats]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise refuse("formats that differ", f"'{twice}' is there twice.", "formats")
        return self

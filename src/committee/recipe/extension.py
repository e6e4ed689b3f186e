"""The class of recipes, with the sections that stages of the pipeline define themselves."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import Field, create_model

from committee.base.registry import Family
from committee.recipe.model import Recipe
from committee.recipe.section import Section


@cache
def recipe_type() -> type[Recipe]:
    """Return the class of recipes: `Recipe`, with a key for each section that a stage defines.

    A stage whose section is not a key of `Recipe` defines it as its nested class `Settings`. The key is
    either at the top level or inside a section of `Recipe`, such as `runs.audit`.

    Examples
    --------
    >>> from committee.recipe.extension import recipe_type
    >>> from committee.recipe.model import Recipe
    >>> issubclass(recipe_type(), Recipe)
    True
    """
    stages: Family[Any] = Family("committee.pipeline.stages", "stage")
    settings: dict[str, type[Section]] = {}
    for name in stages.names():
        for key in stages.constants(name)["sections"]:
            if not _has(Recipe, key):
                settings[key] = stages.load(name).Settings
    return _extended(Recipe, settings) if settings else Recipe


def _has(section: type[Section], key: str) -> bool:
    outer, _, inner = key.partition(".")
    field = section.model_fields.get(outer)
    return field is not None and (not inner or _has(_section_type(field.annotation), inner))


def _section_type(annotation: Any) -> type[Section]:
    """Return the class of a section, also of an optional one."""
    kinds = (annotation, *getattr(annotation, "__args__", ()))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), Section)


def _extended(section: type[Any], settings: Mapping[str, type[Section]]) -> type[Any]:
    """Return a subclass of a section with further sections, by their dotted keys inside it."""
    fields: dict[str, Any] = {}
    for key, kind in settings.items():
        if "." not in key:
            summary = (kind.__doc__ or "").partition("\n\n")[0]
            fields[key] = (kind | None, Field(None, description=summary))
    for outer in dict.fromkeys(key.partition(".")[0] for key in settings if "." in key):
        inner = {key.partition(".")[2]: kind for key, kind in settings.items() if key.startswith(f"{outer}.")}
        field = section.model_fields[outer]
        kind = _extended(_section_type(field.annotation), inner)
        fields[outer] = (kind, Field(default_factory=kind, description=field.description))
    name = f"Extended{section.__name__}"
    return create_model(name, __base__=section, __module__=__name__, __doc__=section.__doc__, **fields)


def __getattr__(name: str) -> Any:
    """Return a class of an extended section by its name: other processes unpickle recipes through it."""
    found: type[Any] = recipe_type()
    for kind in (found, *(_section_type(field.annotation) for field in found.model_fields.values())):
        if kind.__name__ == name and kind.__module__ == __name__:
            return kind
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")

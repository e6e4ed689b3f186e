"""Enabled parts of a recipe that this version does not build: derived from the families."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from committee.base.registry import Family
from committee.recipe.section import Section


def unbuilt(recipe: Section) -> list[str]:
    """Return the enabled sections that no stage serves, and the formats that have no exporter, by key."""
    exporters: Family[Any] = Family("committee.exporters", "export format")
    served = served_sections()
    found = []
    for key, section in _sections(recipe):
        if key not in served and getattr(section, "enable", False):
            found.append(key)
        if getattr(section, "enable", True) and hasattr(section, "formats"):
            names = [each.format for each in section.formats]
            found += [f"{key}.formats: {name}" for name in names if name not in exporters.names()]
    return found


def served_sections() -> set[str]:
    """Return the keys of the sections that stages serve; no stage is imported."""
    stages: Family[Any] = Family("committee.pipeline.stages", "stage")
    return {key for name in stages.names() for key in stages.constants(name)["sections"]}


def _sections(section: Section, key: str = "") -> Iterator[tuple[str, Section]]:
    """Yield the sections inside a section, with their dotted keys, in the order of the recipe."""
    for name in type(section).model_fields:
        inner = getattr(section, name)
        if isinstance(inner, Section):
            path = f"{key}.{name}".lstrip(".")
            yield path, inner
            yield from _sections(inner, path)

"""What a recipe may ask for that this version does not build: named before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from committee.base.registry import Family

if TYPE_CHECKING:
    from committee.recipe.model import Recipe

FORMATS_OF_LATER = ("torchscript", "tflite", "openvino", "executorch", "tensorrt")
SECTIONS_OF_LATER = ("distillation",)


def unbuilt(recipe: Recipe) -> list[str]:
    """Return the keys of enabled sections and formats that are not built, in the recipe's order."""
    found = []
    if recipe.exports.enable:
        exporters: Family[Any] = Family("committee.exporters", "export format")
        found += [
            f"exports.formats: {name}" for name in recipe.exports.formats if name not in exporters.names()
        ]
    return found + [name for name in SECTIONS_OF_LATER if _enabled(getattr(recipe, name))]


def _enabled(section: Any) -> bool:
    return section is not None and section.enable

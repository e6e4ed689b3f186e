"""The JSON Schema of a recipe, for editors that complete and validate YAML."""

from __future__ import annotations

from typing import Any

from committee.recipe.extension import recipe_type
from committee.recipe.overrides import SHORT


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a recipe, including its short form."""
    described = recipe_type().model_json_schema()
    sections = {"dataset": "Dataset", "training": "Training"}
    for key, section in SHORT.items():
        described["properties"][key] = described["$defs"][sections[section]]["properties"][key]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}

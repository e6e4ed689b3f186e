"""The type of a metric that weights and selections of members optimize."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from committee.base.objectives import MAP_OBJECTIVES, NUMBER_OBJECTIVES, OBJECTIVES, PREFIX, is_custom
from committee.errors import nearest
from committee.recipe.section import refuse

NAMES = tuple(dict.fromkeys((*OBJECTIVES, *MAP_OBJECTIVES, *NUMBER_OBJECTIVES)))


def _check(value: str) -> str:
    if value not in NAMES and not is_custom(value):
        raise refuse(f"one of {', '.join(NAMES)}, or {PREFIX}module.function", nearest(value, NAMES))
    return value


def _list_names(schema: dict[str, Any]) -> None:
    del schema["type"]
    schema["anyOf"] = [{"enum": list(NAMES)}, {"type": "string", "pattern": f"^{PREFIX}.+"}]


Objective = Annotated[str, AfterValidator(_check), Field(json_schema_extra=_list_names)]

"""A starter recipe: the keys people change, each with its default and with what it means."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from committee.recipe.load import complete
from committee.recipe.section import Section
from committee.recipe.unbuilt import SECTIONS_OF_LATER
from committee.recipe.yaml_text import parse, scalar

_BASE = """
backbones: {include: [resnet50, densenet121, efficientnet_b0]}
runs: {stacking: {meta_learners: [lr]}}
"""
_HEADER = """\
# A recipe of `committee`: each key with its default, but for the backbones and stacking; any may be left out.
"""
_NO_IMAGES = "# Name your images in dataset.path, or say `name: digits` to try it out.\n"
_PLAIN = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_./:-]*[A-Za-z0-9_]|[A-Za-z0-9_]")
_LEFT_OUT = {*SECTIONS_OF_LATER, "mlp_config", "xgb_config", "rf_config"}


def starter(overrides: Iterable[str] = ()) -> str:
    """Return the text of a starter recipe; `overrides` (`KEY=VALUE`) are written into it."""
    recipe = complete(parse(_BASE, "starter"), overrides)
    header = _HEADER if recipe.dataset.is_named else _HEADER + _NO_IMAGES
    return header + "".join(f"{line}\n" for line in _lines(recipe, ""))


def _lines(section: Section, indent: str) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        if name in _LEFT_OUT:
            continue
        if not indent:
            yield ""
        mark = f"{indent}# "
        yield from textwrap.wrap(field.description or "", 100, initial_indent=mark, subsequent_indent=mark)
        value = getattr(section, name)
        if isinstance(value, Section):
            yield f"{indent}{name}:"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{name}: {_inline(value)}"


def _inline(value: Any) -> str:
    if isinstance(value, Section):
        given = value.model_dump(exclude_unset=True, by_alias=True)
        return _inline(given["combiner"] if list(given) == ["combiner"] else given)
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_inline(key)}: {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and scalar(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)

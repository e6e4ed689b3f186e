"""A starter recipe with comments: the keys that most users change, their defaults and their meaning."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from committee.errors import printable
from committee.recipe.load import complete
from committee.recipe.model import Recipe
from committee.recipe.section import Section
from committee.recipe.yaml_text import parse, scalar

_BASE = """
backbones: {include: [resnet50, densenet121, efficientnet_b0]}
runs: {stacking: {}}
pruning: {enable: true}
"""
_HEADER = """\
# A recipe of `committee`. Every key may be left out. The values are the defaults, except for the backbones,
# stacking and pruning; some that have an effect only beside certain other values are comments.
"""
_NO_IMAGES = """\
# Set dataset.path to the folder of your images, or dataset.name to `digits` to try it out.
"""
_MOST_CLASSES = 30
"""Classes that are listed with their numbers of images."""
_PLAIN = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_./:-]*[A-Za-z0-9_]|[A-Za-z0-9_]")
_LEFT_OUT = {"mlp_config", "xgb_config", "rf_config"}
_OF_MASKS = {"class_names", "ignore", "pixels_per_image", "crops_per_image", "output_stride"}
_CONDITIONAL = {"cycle_epochs", "momentum", "head_epochs", "measure", "floor", "output_stride"}
"""Keys that have an effect only beside certain values of other keys: their defaults are comments."""


def starter(
    overrides: Iterable[str] = (),
    classes: Mapping[str, int] | None = None,
    with_defaults: Callable[[Recipe], Recipe] = lambda recipe: recipe,
    masks: str | None = None,
) -> str:
    """Return the text of a starter recipe.

    Parameters
    ----------
    overrides : iterable of str
        `KEY=VALUE`: values that are written instead of the defaults.
    classes : mapping of str to int, optional
        The number of images of each class, for a comment.
    with_defaults : callable, optional
        Returns the recipe with the defaults of the task of the images, in place of those of classes.
    masks : str, optional
        A sentence about images and their masks, for a comment. Without it, keys of masks are left out.

    Raises
    ------
    RecipeError, UsageError
        An override is not valid.
    """
    recipe = with_defaults(complete(parse(_BASE, "starter"), overrides))
    header = _HEADER if recipe.dataset.is_named else _HEADER + _NO_IMAGES
    notes = {"dataset": _counts(classes) if classes else masks or ""}
    left_out = _LEFT_OUT if masks is not None else _LEFT_OUT | _OF_MASKS
    return header + "".join(f"{line}\n" for line in _lines(recipe, "", notes, left_out))


def _counts(classes: Mapping[str, int]) -> str:
    """Return a sentence about the number of images, and of each class if there are not too many classes."""
    listed = f"{min(classes.values())} to {max(classes.values())} of each"
    if len(classes) <= _MOST_CLASSES:
        listed = ", ".join(f"{_one_line(name)} {number}" for name, number in classes.items())
    return f"{sum(classes.values())} images of {len(classes)} classes: {listed}."


def _one_line(name: str) -> str:
    return " ".join(printable(name).split())


def _lines(
    section: Section, indent: str, notes: Mapping[str, str], left_out: Collection[str]
) -> Iterator[str]:
    """Yield the lines of a section without some keys; `notes` are further comments by key."""
    for name, field in type(section).model_fields.items():
        if name in left_out:
            continue
        if not indent:
            yield ""
        mark = f"{indent}# "
        for comment in (field.description or "", notes.get(name, "")):
            yield from textwrap.wrap(comment, 100, initial_indent=mark, subsequent_indent=mark)
        value = getattr(section, name)
        if isinstance(value, Section):
            yield f"{indent}{name}:"
            yield from _lines(value, indent + "  ", {}, left_out)
        else:
            is_comment = name in _CONDITIONAL and value == field.default
            yield f"{mark if is_comment else indent}{name}: {_inline(value)}"


def _inline(value: Any) -> str:
    """Return a value as YAML on one line."""
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

"""Loading of recipes: parse the file, expand the short form, apply overrides, validate the sections."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from committee.base.arguments import path_of
from committee.errors import RecipeError, missing, nearest, unreadable
from committee.recipe.document import Document, describe
from committee.recipe.extension import recipe_type
from committee.recipe.members import slug
from committee.recipe.model import Recipe
from committee.recipe.overrides import SET, expand_short_form, override
from committee.recipe.validation_errors import recipe_error
from committee.recipe.yaml_text import MAX_CHARACTERS, parse

log = logging.getLogger(__name__)


def load_recipe(path: str | Path | None = None, overrides: Iterable[str] = ()) -> Recipe:
    """Load a recipe, fill in the defaults and validate it.

    Parameters
    ----------
    path : str or Path, optional
        The YAML file; if omitted, the recipe consists of defaults and overrides.
    overrides : iterable of str
        `KEY=VALUE`, each replacing one value of the file, in order.

    Raises
    ------
    RecipeError
        The file cannot be read, or a key or a value is not valid.
    UsageError
        An override is not `KEY=VALUE`.

    See Also
    --------
    committee.recipe.model.Recipe : The loaded recipe.

    Examples
    --------
    >>> from committee.recipe.load import load_recipe
    >>> recipe = load_recipe(None, ["models=[resnet18, resnet50]", "epochs=5"])
    >>> [(member.name, member.training.epochs) for member in recipe.members()]
    [('resnet18', 5), ('resnet50', 5)]
    """
    return complete(_parsed(path), overrides)


def store_named(path: str | Path | None = None, overrides: Iterable[str] = ()) -> str | None:
    """Return the key `store` of a recipe, whose other keys need not be valid; None if it has none.

    Parameters and errors are those of `load_recipe`.
    """
    document = _parsed(path)
    if document.value is None:
        document.value = {}
    if not isinstance(document.value, dict):
        return None
    for assignment in overrides:
        override(document, assignment)
    found = document.get(("store",))
    if found is None or (isinstance(found, str) and found):
        return found
    raise RecipeError(
        "store",
        expected="a folder, or an address such as s3://bucket/prefix",
        got=describe(found),
        where=document.where(("store",)),
    )


def _parsed(path: str | Path | None) -> Document:
    return Document({}) if path is None else parse(_text(path_of("recipe", path)), str(path))


def complete(document: Document, overrides: Iterable[str] = ()) -> Recipe:
    """Return the recipe of a parsed document with overrides; raise what `load_recipe` raises."""
    if document.value is None:
        document.value = {}
    if not isinstance(document.value, dict):
        raise RecipeError(
            "recipe",
            expected="keys such as dataset and models",
            got=describe(document.value),
            where=document.where(()),
        )
    expand_short_form(document)
    for assignment in overrides:
        override(document, assignment)
    try:
        recipe = recipe_type().model_validate(document.value)
    except ValidationError as error:
        raise recipe_error(error, document, recipe_type()) from None
    _check_members(recipe, document)
    _warn_of_unknown_names(recipe, document)
    return recipe


def _check_members(recipe: Recipe, document: Document) -> None:
    try:
        recipe.members()
    except RecipeError as error:
        where = document.where(("models",)) if document.has(("models",)) else ""
        raise RecipeError(
            error.who, expected=error.expected, got=error.got, todo=error.todo, where=where
        ) from None


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.read(MAX_CHARACTERS + 1)
    except FileNotFoundError:
        raise missing(RecipeError, path, _advice(path)) from None
    except OSError as error:
        raise unreadable(RecipeError, path, error, "Give the path of a recipe file.") from None
    except UnicodeDecodeError:
        raise RecipeError(str(path), expected="text in UTF-8", got="other bytes") from None
    except ValueError as error:  # a NUL in the path
        raise RecipeError(str(path), expected="the path of a recipe file", got=str(error)) from None


def _advice(path: Path) -> str:
    """Return what to do about a recipe that does not exist; a setting may have been given in its place."""
    if "=" in path.name:
        setting = f"A setting follows the recipe: RECIPE --set '{path}'."
        return f"{setting} Write a recipe with: committee init recipe.yaml"
    return f"Write one with: committee init {path}"


def _warn_of_unknown_names(recipe: Recipe, document: Document) -> None:
    """Warn of each name in `overrides` and `backbones.exclude` that matches no member of this recipe.

    If the command line replaces the backbones, only names from the command line are checked: those of the
    file may match backbones of the file.
    """
    specs = recipe.all_members()
    replaced = any(_is_set(document, path) for path in (("models",), ("backbones", "include")))
    known = [*recipe.backbones.include, *(model.name for model in recipe.models)]
    known += [model.alias for model in recipe.models if model.alias] + [spec.name for spec in specs]
    for key, names in (("overrides", recipe.overrides), ("backbones.exclude", recipe.backbones.exclude)):
        for number, name in enumerate(names):
            path = (*key.split("."), name if key == "overrides" else number)
            is_checked = specs and (_is_set(document, path) or not replaced)
            if is_checked and not any(name in (each, slug(each)) for each in known):
                text = f"{key}: '{name}' is none of this recipe's backbones. {nearest(name, known)}"
                log.warning("%s", text.rstrip())


def _is_set(document: Document, path: tuple[str | int, ...]) -> bool:
    """Return whether the value at `path` was given on the command line."""
    return document.has(path) and document.where(path).startswith(SET)

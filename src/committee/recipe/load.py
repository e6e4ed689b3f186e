"""Read a recipe: text -> values with positions -> short form spread -> overrides -> typed sections."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from committee.errors import RecipeError, nearest
from committee.recipe.complaints import complain
from committee.recipe.members import everyone, slug
from committee.recipe.model import Recipe
from committee.recipe.nodes import Node, say
from committee.recipe.overrides import SET, override, spread
from committee.recipe.yaml_text import MAX_CHARACTERS, parse

log = logging.getLogger(__name__)


def load_recipe(path: str | Path | None = None, overrides: Iterable[str] = ()) -> Recipe:
    """Read, complete and check a recipe.

    Parameters
    ----------
    path : str or Path, optional
        The YAML file; left out, the recipe is all defaults and overrides.
    overrides : iterable of str
        `KEY=VALUE`, each replacing one value of the file, in order.

    Raises
    ------
    RecipeError
        The file cannot be read, or a key or a value is not valid.
    UsageError
        An override is not `KEY=VALUE`.
    """
    root = Node({}, "") if path is None else parse(_text(Path(path)), str(path))
    return complete(root, overrides)


def complete(root: Node, overrides: Iterable[str] = ()) -> Recipe:
    """Return the recipe that a parsed text and overrides stand for; raises what `load_recipe` does."""
    if root.value is None:
        root = Node({}, root.where)
    if not isinstance(root.value, dict):
        raise RecipeError(
            "recipe", expected="keys such as dataset and models", got=say(root.plain()), where=root.where
        )
    root = spread(root)
    for assignment in overrides:
        root = override(root, assignment)
    try:
        recipe = Recipe.model_validate(root.plain())
    except ValidationError as error:
        raise complain(error, root, Recipe) from None
    _check_members(recipe, root)
    _warn_of_names_that_mean_nobody(recipe, root)
    return recipe


def _check_members(recipe: Recipe, root: Node) -> None:
    try:
        recipe.members()
    except RecipeError as error:
        models = root.get(["models"])
        where = models.where if models else ""
        raise RecipeError(
            error.who, expected=error.expected, got=error.got, todo=error.todo, where=where
        ) from None


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.read(MAX_CHARACTERS + 1)
    except FileNotFoundError:
        raise RecipeError(
            str(path),
            expected="a recipe file",
            got="none there",
            todo=f"Write one with: committee init {path}",
        ) from None
    except OSError as error:
        raise RecipeError(str(path), expected="a recipe file", got=str(error.strerror)) from None
    except UnicodeDecodeError:
        raise RecipeError(str(path), expected="text in UTF-8", got="other bytes") from None
    except ValueError as error:  # a NUL in the name
        raise RecipeError(str(path), expected="a recipe file", got=str(error)) from None


def _warn_of_names_that_mean_nobody(recipe: Recipe, root: Node) -> None:
    """Say when a name of `overrides` or `backbones.exclude` means no member of this recipe.

    Where the command line has other backbones than the file, names of the file may mean those of the file.
    """
    specs = everyone(recipe)
    restrict_to_used = any(_is_set(root.get(path)) for path in (["models"], ["backbones", "include"]))
    known = [*recipe.backbones.include, *(model.name for model in recipe.models)]
    known += [model.alias for model in recipe.models if model.alias] + [spec.name for spec in specs]
    for key, names in (("overrides", recipe.overrides), ("backbones.exclude", recipe.backbones.exclude)):
        for place, name in enumerate(names):
            node = root.get([*key.split("."), name if key == "overrides" else place])
            judged = specs and (_is_set(node) or not restrict_to_used)
            if judged and not any(name in (each, slug(each)) for each in known):
                why = f"{key}: '{name}' is none of this recipe's backbones. {nearest(name, known)}"
                log.warning("%s", why.rstrip())


def _is_set(node: Node | None) -> bool:
    """Return whether the command line gave a value."""
    return node is not None and node.where.startswith(SET)

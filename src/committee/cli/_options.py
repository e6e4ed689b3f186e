"""Arguments that several verbs share, and what they stand for."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from committee.errors import UsageError

if TYPE_CHECKING:
    from committee.recipe.model import Recipe
    from committee.store.layout import Store


def add_recipe(parser: ArgumentParser) -> None:
    """Add RECIPE, `--config FILE` and `--set KEY=VALUE`."""
    parser.add_argument(
        "recipe", nargs="?", metavar="RECIPE", help="recipe file (YAML); all defaults when left out"
    )
    parser.add_argument("--config", metavar="FILE", help="another way to name the recipe file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="replace one value of the recipe, such as training.epochs=5; may be repeated",
    )


def recipe_of(arguments: Namespace) -> Recipe:
    """Load the recipe that the arguments name.

    Raises
    ------
    UsageError
        RECIPE and `--config` name two files.
    RecipeError
        A key or a value is not valid.
    """
    from committee.recipe.load import load_recipe

    if arguments.recipe and arguments.config and Path(arguments.recipe) != Path(arguments.config):
        raise UsageError(
            "--config",
            expected="the recipe to be named once",
            got=f"'{arguments.config}' beside '{arguments.recipe}'",
            todo="Leave one out.",
        )
    named = arguments.recipe or arguments.config
    return load_recipe(Path(named) if named else None, arguments.overrides)


def add_store(parser: ArgumentParser) -> None:
    """Add `--store DIR`."""
    parser.add_argument(
        "--store",
        metavar="DIR",
        default=os.environ.get("COMMITTEE_STORE") or "store",
        help="folder that holds all results (default: $COMMITTEE_STORE, or ./store)",
    )


def store_of(arguments: Namespace) -> Store:
    """Return the store that the arguments name."""
    from committee.store.layout import Store

    store = Store(Path(arguments.store))
    store.mend()
    return store


def add_json(parser: ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_dry_run(parser: ArgumentParser) -> None:
    """Add `--dry-run`."""
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would run, how many fits, hours and disk; run nothing",
    )

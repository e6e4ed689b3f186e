"""Arguments that several verbs share, and what they refer to."""

from __future__ import annotations

import json
import logging
import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.base.registry import Family
from committee.errors import UsageError, missing

if TYPE_CHECKING:
    from committee.recipe.model import Recipe
    from committee.store.layout import Store

log = logging.getLogger("committee")

RECIPE = Path("recipe.yaml")
"""The recipe that is used if none is named."""


def add_recipe(parser: ArgumentParser, is_used: bool = True) -> None:
    """Add RECIPE, `--config FILE`, `--set KEY=VALUE` and `--trust NAME`."""
    default = f"(default: ./{RECIPE} if it exists, otherwise a recipe of defaults)"
    parser.add_argument(
        "recipe",
        nargs="?",
        metavar="RECIPE",
        help=f"recipe file {default}" if is_used else "recipe file; this verb only checks it",
    )
    parser.add_argument("--config", metavar="FILE", help="the recipe file, instead of RECIPE")
    add_set(parser, "replace one value of the recipe, such as training.epochs=5; may be repeated")
    add_trust(parser)


def add_config(parser: ArgumentParser, purpose: str, example: str) -> None:
    """Add `--config FILE`, `--set KEY=VALUE` and `--trust NAME` to a verb whose argument is no recipe."""
    text = f"recipe, for its {purpose} and its python: backbones"
    parser.add_argument("--config", dest="recipe", metavar="FILE", help=text)
    add_set(parser, f"replace one value of the recipe, such as {example}")
    add_trust(parser)
    parser.set_defaults(config=None)


def add_set(parser: ArgumentParser, purpose: str) -> None:
    """Add `--set KEY=VALUE`."""
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help=purpose
    )


def add_trust(parser: ArgumentParser) -> None:
    """Add `--trust NAME`."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        dest="trusted",
        metavar="NAME",
        help="python: backbone of a stored member that may be imported, such as python:nets:small, or format "
        "of a file that may run code, such as torch_export, as backbones.trusted and exports.trusted; may be "
        "repeated",
    )


def recipe_of(arguments: Namespace, required: bool = False) -> Recipe:
    """Load the recipe that the arguments name; by default `./recipe.yaml`, or an empty recipe.

    Parameters
    ----------
    arguments : Namespace
        The parsed arguments.
    required : bool
        Whether to refuse an empty recipe without overrides.

    Raises
    ------
    UsageError
        RECIPE and `--config` name two files, or a required recipe does not exist.
    RecipeError
        A key or a value is not valid.
    """
    from committee.recipe.load import load_recipe

    named = _named(arguments)
    if named is None and RECIPE.is_file():
        log.info("Recipe: %s", RECIPE)
        named = RECIPE
    if required and named is None and not arguments.overrides:
        raise missing(UsageError, RECIPE, "Write it with: committee init IMAGES, or name another recipe.")
    recipe = load_recipe(named, arguments.overrides)
    if not arguments.trusted:
        return recipe
    formats: Family[Any] = Family("committee.exporters", "export format")
    names = {key: [*getattr(recipe, key).trusted] for key in ("backbones", "exports")}
    for name in arguments.trusted:
        names["exports" if name in formats.names() else "backbones"].append(name)
    trusted = [f"{key}.trusted={json.dumps(value)}" for key, value in names.items()]
    return load_recipe(named, [*arguments.overrides, *trusted])


def check_recipe(arguments: Namespace) -> None:
    """Load the recipe if the arguments name one: for verbs that take a recipe but do not need it."""
    if _named(arguments) is not None or arguments.overrides:
        recipe_of(arguments)


def _named(arguments: Namespace) -> Path | None:
    recipe, config = arguments.recipe, arguments.config
    if recipe and config and Path(recipe) != Path(config):
        raise UsageError(
            "--config",
            expected="one recipe",
            got=f"'{recipe}' and '{config}'",
            todo="Leave one out.",
        )
    return Path(recipe or config) if recipe or config else None


def add_store(parser: ArgumentParser) -> None:
    """Add `--store DIR` and `--store-cache DIR`."""
    parser.add_argument(
        "--store",
        metavar="DIR",
        help="folder of all results, or an address such as s3://bucket/prefix (default: $COMMITTEE_STORE, "
        "the key store of the recipe, or ./store)",
    )
    parser.add_argument(
        "--store-cache",
        metavar="DIR",
        help="folder of the working copies of stores on object storage, and of images and models from there "
        "(default: $COMMITTEE_STORE_CACHE, or ~/.cache/committee/stores)",
    )


def store_of(arguments: Namespace) -> Store:
    """Return the store that the arguments name, after finishing what an interrupted write left half done."""
    from committee.store.layout import Store

    if arguments.store_cache:  # for images and models at addresses, and for processes that this one starts
        os.environ["COMMITTEE_STORE_CACHE"] = arguments.store_cache
    store = Store(root_of(arguments))
    store.mend()
    return store


def root_of(arguments: Namespace) -> str:
    """Return the folder or address of the store: of `--store`, `$COMMITTEE_STORE`, or the recipe."""
    return arguments.store or os.environ.get("COMMITTEE_STORE") or _root_of_recipe(arguments) or "store"


def _root_of_recipe(arguments: Namespace) -> str | None:
    """Return the key `store` of the recipe that the arguments name, or of `./recipe.yaml`."""
    named = _named(arguments) if "recipe" in arguments else None
    path = named or (RECIPE if RECIPE.is_file() else None)
    overrides = getattr(arguments, "overrides", [])
    if path is None and not overrides:
        return None
    from committee.recipe.load import store_named

    return store_named(path, overrides)


def add_uncertainty(parser: ArgumentParser) -> None:
    """Add the options of prediction sets, standard deviations and abstention."""
    parser.add_argument(
        "--coverage",
        type=float,
        metavar="P",
        help="add prediction sets, or intervals of numbers, which contain the truth with probability P",
    )
    parser.add_argument(
        "--sets",
        choices=("lac", "aps", "raps", "classwise", "absolute", "normalized"),
        metavar="KIND",
        help="kind of prediction sets: lac are smallest on average, aps are larger for uncertain images, "
        "raps are aps without very large sets, classwise have the coverage for each class (default: lac); of "
        "intervals of numbers: normalized are wider for uncertain images (default: absolute)",
    )
    parser.add_argument(
        "--std",
        action="store_true",
        help="add the standard deviations of numbers: aleatoric, which networks predict, and epistemic, by "
        "which members differ",
    )
    parser.add_argument(
        "--abstain-below",
        type=float,
        metavar="P",
        help="leave the prediction empty where the probability of the top class is below P",
    )


def add_json(parser: ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_json_file(parser: ArgumentParser) -> None:
    """Add `--json [FILE.json]`, whose value is False, True, or the path of the file."""
    parser.add_argument(
        "--json",
        nargs="?",
        const=True,
        default=False,
        type=_json_file,
        metavar="FILE.json",
        help="print the result as JSON instead of tables, or write it to a file beside them",
    )


def _json_file(text: str) -> Path:
    if not text.endswith(".json"):  # it may be the recipe, which must not be replaced
        raise ArgumentTypeError(f"expected nothing or a file FILE.json, got '{text}'")
    return Path(text)


def add_dry_run(parser: ArgumentParser) -> None:
    """Add `--dry-run`."""
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print what would be done, and do nothing",
    )


def duration_of(text: str) -> float:
    """Return the seconds of a duration such as `90s`, `30m` or `1h30m`; a number alone is in seconds."""
    from committee.base.deadline import seconds_of

    try:
        return seconds_of(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def method_of(text: str) -> str | dict[str, Any]:
    """Return the method that `--method` names: a name, or the mapping that the text contains, as in a recipe.

    Raises
    ------
    RecipeError
        The text begins with a brace and is not valid YAML.
    """
    from committee.recipe.yaml_text import parse

    if not text.startswith("{"):
        return text
    described: dict[str, Any] = parse(text, "--method", lines=False).value
    return described

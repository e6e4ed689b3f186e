"""Build ensembles of the members in a store, and score them by cross-fitting.

The methods are the recipe's, or those named with --method. All is learned from stored out-of-fold
predictions (or, where members were trained without folds, from the val split): no network runs.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from committee.cli._options import add_dry_run, add_json, add_recipe, add_store, recipe_of, store_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, `--method`, `--dry-run` and `--json`."""
    add_recipe(parser)
    add_store(parser)
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="NAME",
        help="build this one, not the recipe's; may be repeated",
    )
    add_dry_run(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Build, and print each ensemble with its cross-fitted scores and gain."""
    from committee.cli._stages import print_ensembles, print_fits, say_unbuilt
    from committee.pipeline.stages.score_ensemble import build, plan_build

    recipe, store = recipe_of(arguments), store_of(arguments)
    say_unbuilt(recipe)
    if arguments.dry_run:
        return print_fits(plan_build(recipe, store, arguments.method), arguments.json)
    return print_ensembles(build(recipe, store, arguments.method), store, arguments.json)

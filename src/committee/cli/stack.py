"""Stack: train learners on the members' out-of-fold predictions, and score them by cross-fitting.

The learners are those of runs.stacking in the recipe, or those named with --meta-learner: lr, xgb, rf, mlp.
How strongly each is regularized is chosen inside the rows that it is given. No network runs.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from committee.cli._options import add_dry_run, add_json, add_recipe, add_store, recipe_of, store_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, `--meta-learner`, `--dry-run` and `--json`."""
    add_recipe(parser)
    add_store(parser)
    parser.add_argument(
        "--meta-learner",
        action="append",
        default=[],
        metavar="NAME",
        help="this one, not the recipe's: lr, xgb, rf or mlp; may be repeated",
    )
    add_dry_run(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Build the stacks, and print each with its cross-fitted scores and gain."""
    from committee.cli._stages import print_ensembles, print_fits, say_unbuilt
    from committee.pipeline.shared.choose import stack_names
    from committee.pipeline.stages.score_ensemble import build, plan_build

    recipe, store = recipe_of(arguments), store_of(arguments)
    names = stack_names(recipe, arguments.meta_learner)
    if arguments.dry_run:
        return print_fits(plan_build(recipe, store, names), arguments.json)
    say_unbuilt(recipe)
    return print_ensembles(build(recipe, store, names), store, arguments.json)

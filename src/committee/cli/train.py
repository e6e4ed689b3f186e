"""Train the members of a recipe, with out-of-fold predictions.

Each backbone is checked on one batch, trained once per fold and once on all rows; its predictions of
the rows it did not see are kept. What is done already is left as it is: a run started again goes on
where it was.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from committee.cli._options import add_dry_run, add_json, add_recipe, add_store, recipe_of, store_of


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, `--dry-run` and `--json`."""
    add_recipe(parser)
    add_store(parser)
    add_dry_run(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Train, and say what was made."""
    from committee.cli._stages import print_estimate, print_outcome, say_unbuilt
    from committee.pipeline.stages.train import train

    recipe, store = recipe_of(arguments), store_of(arguments)
    say_unbuilt(recipe)
    if arguments.dry_run:
        return print_estimate(recipe, store, arguments.json)
    return print_outcome(train(recipe, store), arguments.json, "Next: committee build-ensemble")

"""Meta-fuse: train a learner on the outputs of ensembles: an ensemble of ensembles, which is one again.

Its inputs are ensembles and members of the store, named in runs.meta_fuser.input_ensembles. Each is fitted
anew within each fold, so that the learner reads only outputs for rows that no fit saw. Inputs that the store
lacks are set aside by name, and the exit code is 3. Members that several inputs share run once.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from committee.cli._options import add_dry_run, add_json, add_recipe, add_store, recipe_of, store_of
from committee.cli._output import print_failed, print_json


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, `--dry-run` and `--json`."""
    add_recipe(parser)
    add_store(parser)
    add_dry_run(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Build the meta-fuser, and print it with its cross-fitted scores and gain."""
    from committee.cli._stages import print_ensembles, say_unbuilt
    from committee.pipeline.stages.meta_fuser import meta_fuse, plan_meta_fuse

    recipe, store = recipe_of(arguments), store_of(arguments)
    if arguments.dry_run:
        return _print_plan(plan_meta_fuse(recipe, store), arguments.json)
    say_unbuilt(recipe)
    return print_ensembles(meta_fuse(recipe, store), store, arguments.json)


def _print_plan(plan: dict[str, Any], as_json: bool) -> int:
    if as_json:
        print_json(plan)
        return 0
    print(
        f"{plan['name']} would fit {plan['learner']} on {', '.join(plan['inputs'])}: {plan['n']} "
        f"{plan['rows']} rows of {', '.join(plan['members'])}; no network would run."
    )
    print_failed(plan["set_aside"])
    return 0

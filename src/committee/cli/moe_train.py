"""Moe-train: train a mixture of experts: a gate that sends each photo to a few of the members.

The experts are chosen among the members by the pruning method of runs.moe in the recipe. The gate learns from
stored out-of-fold predictions: no expert runs meanwhile. It becomes the member moe of the store.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from committee.cli._options import add_dry_run, add_json, add_recipe, add_store, recipe_of, store_of
from committee.cli._output import print_json


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, `--dry-run` and `--json`."""
    add_recipe(parser)
    add_store(parser)
    add_dry_run(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Train the gate, and print who the experts are and how often each is asked."""
    from committee.cli._stages import print_ensembles, say_unbuilt
    from committee.pipeline.stages.moe import moe_train, plan_moe_train

    recipe, store = recipe_of(arguments), store_of(arguments)
    if arguments.dry_run:
        return _print_plan(plan_moe_train(recipe, store), arguments.json)
    say_unbuilt(recipe)
    return print_ensembles(moe_train(recipe, store), store, arguments.json)


def _print_plan(plan: dict[str, Any], as_json: bool) -> int:
    if as_json:
        print_json(plan)
        return 0
    print(
        f"{plan['experts']} experts would be chosen by {plan['method']} among {', '.join(plan['members'])}, "
        f"and a gate trained on {plan['n']} {plan['rows']} rows to send each photo to {plan['top_k']}."
    )
    return 0

"""Fusion-train: train heads on the embeddings of several members: one member out of their features.

Embeddings are extracted once, one network at a time, and kept in the store. The heads are those of
runs.fusion in the recipe; each is cross-fitted with the networks of each fold, and becomes a member of the
store with out-of-fold predictions: fusion_concat_mlp, fusion_attention, ...
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from committee.cli._options import add_dry_run, add_json, add_recipe, add_store, recipe_of, store_of
from committee.cli._output import print_json, print_table


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, `--dry-run` and `--json`."""
    add_recipe(parser)
    add_store(parser)
    add_dry_run(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Train the fusions, and print each."""
    from committee.cli._stages import print_ensembles, say_unbuilt
    from committee.pipeline.stages.fusion import fusion_train, plan_fusion_train

    recipe, store = recipe_of(arguments), store_of(arguments)
    if arguments.dry_run:
        return _print_plan(plan_fusion_train(recipe, store), arguments.json)
    say_unbuilt(recipe)
    return print_ensembles(fusion_train(recipe, store), store, arguments.json)


def _print_plan(plan: dict[str, Any], as_json: bool) -> int:
    if as_json:
        print_json(plan)
        return 0
    rows = [[each["name"], each["fits"], "yes" if each["extracted"] else "no"] for each in plan["members"]]
    print_table("Embeddings of", ["member", "networks", "in the store"], rows)
    how = ", then end to end" if plan["end_to_end"] else ""
    print(f"Heads that would be trained on them{how}: {', '.join(plan['fusions'])}.")
    return 0

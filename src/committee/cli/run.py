"""Do all that a recipe asks for: train, discover, build, evaluate, export, leaderboard.

A stage goes on without what failed before; what is done already is not done again, so the same
command resumes.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from committee.cli._options import add_dry_run, add_json, add_recipe, add_store, recipe_of, store_of

if TYPE_CHECKING:
    from committee.store.layout import Store


GROUP = "Start"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, `--metric`, `--dry-run` and `--json`."""
    add_recipe(parser)
    add_store(parser)
    parser.add_argument("--metric", default="log_loss", help="metric to rank by (log_loss)")
    add_dry_run(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Run all stages, and print the leaderboard."""
    from committee.cli._stages import print_estimate, print_leaderboard, say_unbuilt
    from committee.pipeline.run import plan_run
    from committee.pipeline.run import run as run_stages
    from committee.report.leaderboard import check_metric

    check_metric(arguments.metric)
    recipe, store = recipe_of(arguments), store_of(arguments)
    say_unbuilt(recipe)
    if arguments.dry_run:
        return print_estimate(recipe, store, arguments.json, plan_run(recipe))
    outcome = run_stages(recipe, store)
    code = print_leaderboard(store, arguments.metric, arguments.json)
    if not arguments.json:
        _print_made(store, arguments.metric)
    return outcome.exit_code or code


def _print_made(store: Store, metric: str) -> None:
    """Name what the run made, and what to try next with the best of it."""
    from committee.report.leaderboard import leaderboard

    names = [str(report["name"]) for report in leaderboard(store, metric) if "failed" not in report]
    if not names:
        return
    best = names[0]
    files = sorted(store.deploy(best).glob("onnx/*.onnx"))
    made = [f"{len(store.members())} members and {len(store.ensembles())} ensembles, the best of them {best}"]
    made += [f"{file}: {best} as one file, photo in, probabilities out" for file in files]
    made += [f"{store.catalog}: all that is there", f"{store.root / 'metrics'}: all numbers"]
    print("\nMade:", *made, sep="\n  ")
    tries = [
        f"committee predict {files[0] if files else best} PHOTO... --store {store.root}",
        f"committee leaderboard --model-name {best} --store {store.root}",
        f"committee predictions --csv FILE --store {store.root}",
    ]
    print("Try next:", *tries, sep="\n  ")

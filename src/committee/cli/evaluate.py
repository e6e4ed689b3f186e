"""Evaluate members and ensembles of a store on the test split.

Writes a metrics.json for each: metrics with intervals, cross-fitted scores and gains, per class,
confusion, latency and size, what each member contributes, and the samples on which members disagree
most. No other verb reads the test split.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from committee.cli._options import add_dry_run, add_json, add_recipe, add_store, recipe_of, store_of
from committee.cli._output import print_json, print_table


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, `--batch`, `--metric`, `--dry-run` and `--json`."""
    add_recipe(parser)
    add_store(parser)
    parser.add_argument(
        "--batch", type=int, default=1, metavar="N", help="images a call when latency is measured (1)"
    )
    parser.add_argument("--metric", default="log_loss", help="metric of the table (log_loss)")
    add_dry_run(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Evaluate, and print the leaderboard."""
    from committee.cli._stages import print_leaderboard
    from committee.pipeline.stages.evaluate import evaluate, plan_evaluate
    from committee.report.leaderboard import check_metric

    check_metric(arguments.metric)
    recipe, store = recipe_of(arguments), store_of(arguments)
    if arguments.dry_run:
        return _print_plan(plan_evaluate(recipe, store), arguments.json)
    outcome = evaluate(recipe, store, batch=arguments.batch)
    return print_leaderboard(store, arguments.metric, arguments.json) or outcome.exit_code


def _print_plan(plan: dict[str, list[str]], as_json: bool) -> int:
    if as_json:
        print_json(plan)
    else:
        rows = [[kind, name] for kind, names in plan.items() for name in names]
        print_table("What would be evaluated and timed; nothing is fitted", ["kind", "name"], rows)
    return 0

"""Show all evaluated members and ensembles of a store, best cross-fitted first.

Each row says which networks speak (refit or folds), whether a member started from published weights
or at random, and whether an ensemble's gain over the best single member is proven. What failed is
listed with its reason, and the exit code is 3 then. --model-name shows all about one model instead:
every metric, its classes and mistakes, what each member contributes, and the samples on which members
disagree most.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from committee.cli._options import add_json, add_recipe, add_store, recipe_of, store_of

if TYPE_CHECKING:
    from committee.store.layout import Store


GROUP = "Results"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, `--metric`, `--model-name` and `--json`."""
    add_recipe(parser)
    add_store(parser)
    parser.add_argument("--metric", default="log_loss", help="metric to rank by (log_loss)")
    parser.add_argument(
        "--model-name", metavar="NAME", help="show all about this member or ensemble, by full or short name"
    )
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Print the leaderboard, or all about one model."""
    from committee.cli._stages import print_leaderboard

    recipe_of(arguments)
    store = store_of(arguments)
    if arguments.model_name:
        return _print_model(store, arguments.model_name, arguments.json)
    return print_leaderboard(store, arguments.metric, arguments.json)


def _print_model(store: Store, name: str, as_json: bool) -> int:
    from committee.cli._output import print_failed, print_json, print_table
    from committee.cli._stages import print_data
    from committee.report.details import tables
    from committee.report.leaderboard import report_of

    report = report_of(store, name)
    code = 3 if "failed" in report else 0
    if as_json:
        print_json(report)
    elif code:
        print_failed({report["name"]: report["failed"]})
    else:
        for place, (title, columns, rows) in enumerate(tables(report)):
            print_table(f"\n{title}" if place else f"{report['name']}: {title}", columns, rows)
        print_data(report["data"])
    return code

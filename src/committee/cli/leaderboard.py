"""Show the evaluated models of a store, best first.

Models are ranked by cross-fitted scores: those of rows that neither the networks nor the combiner were
fitted on. Each row also shows whether the gain over the best single member is proven, the score on the test
split, the milliseconds for one photo and the megabytes of the weights. The column `networks` is `refit` for
one network per member, trained on all rows, and `folds` for the mean of its fold networks. Members whose
training failed are listed with the reason; the exit code is then 3.

--model-name shows everything about one model: all metrics, its classes and mistakes, what each member
contributes, and the samples on which its members disagree most.

--csv has all metrics of all models as numbers, --html and --markdown have the table.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from committee.cli._leaderboard import add_formats, add_metric, print_data, print_leaderboard, put_formats
from committee.cli._options import add_json, add_recipe, add_store, check_recipe, store_of
from committee.cli._output import print_failed, print_json, print_table

if TYPE_CHECKING:
    from committee.store.layout import Store

GROUP = "Results"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, `--metric`, `--wide`, `--model-name`, formats and `--json`."""
    add_recipe(parser, is_used=False)
    add_store(parser)
    add_metric(parser)
    parser.add_argument(
        "--model-name",
        metavar="NAME",
        help="show everything about this member or ensemble; NAME may be its short name",
    )
    add_formats(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Print the leaderboard, or everything about one model."""
    check_recipe(arguments)
    store = store_of(arguments)
    if arguments.model_name:
        return _print_model(store, arguments.model_name, arguments.json)
    code = put_formats(store, arguments)
    return (
        print_leaderboard(store, arguments.metric, arguments.json, arguments.wide) if code is None else code
    )


def _print_model(store: Store, name: str, as_json: bool) -> int:
    from committee.report.details import tables
    from committee.report.leaderboard import report_of

    report = report_of(store, name)
    code = 3 if "failed" in report else 0
    if as_json:
        print_json(report)
    elif code:
        print_failed({report["name"]: report["failed"]})
    else:
        print(f"{report['name']} ({report['kind']})")
        for title, columns, rows in tables(report):
            print_table(f"\n{title}", columns, rows)
        print_data(report["data"])
    return code

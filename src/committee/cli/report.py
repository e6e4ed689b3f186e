"""Write the report of a store, or of two, as one HTML file.

The file works offline: it loads nothing from elsewhere. It is made from stored results, so no network runs.
With the folders of two stores, it has the scores of their models beside each other, the paired difference of
the recommended ones on the test images that both have, and what differs between their recipes.

A store keeps a record of its last 20 runs that changed evaluated models, which --runs lists. `STORE@RUN` is
what a run left, so `committee report store@previous` compares the run before the last one with the store as
it is. A run keeps scores, versions and recipe; predictions that a later run replaced are gone.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from committee.cli._options import add_store, root_of, store_of
from committee.cli._output import print_table
from committee.errors import UsageError

if TYPE_CHECKING:
    from committee.store.layout import Store

GROUP = "Results"
MOST, COMPARISON = 2, "comparison.html"
"""Stores that are compared, and the file that compares them."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add two stores, the store, `--metric`, `--out` and `--runs`."""
    parser.add_argument(
        "stores",
        nargs="*",
        metavar="DIR[@RUN]",
        help="one store, or two to compare (default: --store); @RUN is what a run left in the store, by its "
        "name, the beginning of it, or the word previous",
    )
    add_store(parser)
    parser.add_argument(
        "--metric", metavar="NAME", help="metric to rank by (default: log_loss; of numbers rmse)"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="the file (default: report.html in the store, comparison.html for two)"
    )
    parser.add_argument("--runs", action="store_true", help="list the runs of the store instead")


def run(arguments: Namespace) -> int:
    """Write the file, and print its name; or list the runs."""
    from committee.report.sides import split_address

    addresses = [str(each) for each in arguments.stores or [root_of(arguments)]]
    if len(addresses) > MOST:
        raise UsageError(
            "report", expected=f"at most {MOST} stores", got=str(len(addresses)), todo="Leave some out."
        )
    arguments.store, name = split_address(addresses[0])
    store = store_of(arguments)
    if arguments.runs:
        if name or arguments.out or len(addresses) > 1:
            raise UsageError(
                "report", expected="one store without a run or --out beside --runs", got=" ".join(addresses)
            )
        return _print_runs(store, arguments.metric)
    if name and len(addresses) == 1:
        addresses.append(str(store))
    if len(addresses) == MOST:
        from committee.report.comparison import write_comparison

        path = write_comparison(addresses[0], addresses[1], arguments.out or COMPARISON, arguments.metric)
    else:
        from committee.report.page import FILE, write_report

        path = write_report(store, arguments.out or store.root / FILE, arguments.metric)
    print(f"Wrote {path}")
    return 0


def _print_runs(store: Store, metric: str | None) -> int:
    """Print the runs of a store, newest first."""
    from committee.report.runs import runs_table

    columns, rows = runs_table(store, metric)
    if rows:
        print_table(f"Runs of {store} that changed evaluated models", columns, rows)
    else:
        print(f"{store}: no run is recorded. A run that changes evaluated models is recorded.")
    return 0

"""Write the report of a store, or of two, as one HTML file.

The file works offline: it loads nothing from elsewhere. It is made from stored results, so no network runs.
With the folders of two stores, it has the scores of their models beside each other, the paired difference of
the recommended ones on the test images that both have, and what differs between their recipes.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from committee.cli._options import add_store, store_of
from committee.errors import UsageError

GROUP = "Results"
MOST, COMPARISON = 2, "comparison.html"
"""Stores that are compared, and the file that compares them."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add two stores, the store, `--metric` and `--out`."""
    parser.add_argument(
        "stores", nargs="*", metavar="DIR", help="one store, or two to compare (default: --store)"
    )
    add_store(parser)
    parser.add_argument(
        "--metric", metavar="NAME", help="metric to rank by (default: log_loss; of numbers rmse)"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="the file (default: report.html in the store, comparison.html for two)"
    )


def run(arguments: Namespace) -> int:
    """Write the file, and print its name."""
    if len(arguments.stores) > MOST:
        raise UsageError(
            "report",
            expected=f"at most {MOST} stores",
            got=str(len(arguments.stores)),
            todo="Leave some out.",
        )
    from committee.report.page import FILE, write_report
    from committee.report.two_stores import write_comparison

    arguments.store, *others = arguments.stores or [arguments.store]
    store = store_of(arguments)
    if others:
        path = write_comparison(store, others[0], arguments.out or COMPARISON, arguments.metric)
    else:
        path = write_report(store, arguments.out or store.root / FILE, arguments.metric)
    print(f"Wrote {path}")
    return 0

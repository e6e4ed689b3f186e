"""Write the report of a store: one HTML file with everything that is known about its models.

The file works offline: it loads nothing from elsewhere. It is made from stored results, so no network runs.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from committee.cli._options import add_store, store_of

GROUP = "Results"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the store, `--metric` and `--out`."""
    add_store(parser)
    parser.add_argument(
        "--metric", metavar="NAME", help="metric to rank by (default: log_loss; of numbers rmse)"
    )
    parser.add_argument(
        "--out", metavar="FILE", help="the file (default: report.html in the folder of the store)"
    )


def run(arguments: Namespace) -> int:
    """Write the file, and print its name."""
    from committee.report.page import FILE, write_report

    store = store_of(arguments)
    path = write_report(store, arguments.out or store.root / FILE, arguments.metric)
    print(f"Wrote {path}")
    return 0

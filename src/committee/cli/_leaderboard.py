"""How verbs print the leaderboard of a store, and the model to use."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from committee.base.text import count
from committee.cli._output import print_failed, print_table, print_text, put_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from committee.store.layout import Store

FORMATS = {"csv": (".csv", "CSV"), "html": (".html", "HTML"), "markdown": (".md", "Markdown")}
"""Format of tables -> suffix of its files, and its name in help."""


def add_metric(parser: ArgumentParser) -> None:
    """Add `--metric NAME` and `--wide`."""
    parser.add_argument(
        "--metric", metavar="NAME", help="metric to rank by (default: log_loss; of numbers rmse)"
    )
    parser.add_argument(
        "--wide",
        action="store_true",
        help="show all columns: accuracy, intervals on the test split, and more",
    )


def add_formats(parser: ArgumentParser) -> None:
    """Add `--csv`, `--html` and `--markdown`, each with an optional file."""
    for name, (suffix, title) in FORMATS.items():
        parser.add_argument(
            f"--{name}",
            nargs="?",
            const=True,
            type=partial(_file, suffix=suffix),
            metavar=f"FILE{suffix}",
            help=f"print the leaderboard as {title}, or write it to a file",
        )


def _file(text: str, suffix: str) -> Path:
    if not text.endswith(suffix):  # it may be the recipe, which must not be replaced
        raise ArgumentTypeError(f"expected nothing or a file FILE{suffix}, got '{text}'")
    return Path(text)


def put_formats(store: Store, arguments: Namespace) -> int | None:
    """Print or write the leaderboard in the formats that are asked for; return 0, or None without any."""
    wanted = {name: getattr(arguments, name) for name in FORMATS if getattr(arguments, name) is not None}
    if not wanted:
        return None
    from committee.report.leaderboard import leaderboard
    from committee.store.commit import write_file

    board = leaderboard(store, arguments.metric)
    for name, place in wanted.items():
        text = board.to_csv() if name == "csv" else getattr(board, f"to_{name}")(wide=arguments.wide)
        if place is True:
            print(text.rstrip())
        else:
            write_file(place, f"{text.rstrip()}\n".encode())
            print(f"Wrote {place}")
    return 3 if len(board.evaluated) < len(board) else 0


def print_leaderboard(store: Store, metric: str | None, as_json: bool | Path, wide: bool = False) -> int:
    """Print all evaluated models, best cross-fitted score first; return 0, or 3 if a member failed."""
    from committee.report.leaderboard import leaderboard, metric_for, table
    from committee.report.text import OVER_CALIBRATED, is_over_calibrated

    reports = leaderboard(store, metric)
    failed = {report["name"]: report["failed"] for report in reports if "failed" in report}
    code = 3 if failed else 0
    if not put_json(reports, as_json):
        return code
    evaluated = [report for report in reports if report["name"] not in failed]
    metric = metric_for(metric, evaluated)
    print_table(f"Leaderboard of {store}, best {metric} first", *table(evaluated, metric, wide=wide))
    late = {report["name"] for report in reports if report.get("unfinished")}
    print_failed({name: reason for name, reason in failed.items() if name not in late})
    print_failed({name: reason for name, reason in failed.items() if name in late}, "unfinished")
    if not evaluated:
        print("No model is evaluated. Correct what failed, then run: committee run RECIPE")
    if any(is_over_calibrated(report.get("gain", {}).get(metric)) for report in evaluated):
        print_text(OVER_CALIBRATED)
    if any(report.get("rows") == "val" for report in evaluated):
        print_text("* Scored on the val split: these members have no out-of-fold predictions.")
    if any(report.get("seen") for report in evaluated):
        print_text("+ May be too good: an adopted member may have been trained on some of the test images.")
    print_data(next((report["data"] for report in evaluated if "data" in report), {}))
    return code


def print_data(data: Mapping[str, int]) -> None:
    """Print how many images of the data set were left out, and how many repeat another."""
    if data.get("quarantined"):
        print(f"{count(data['quarantined'], 'image')} could not be used: see quarantine.csv in the store.")
    if data.get("copies"):
        verb = "repeats" if data["copies"] == 1 else "repeat"
        print(
            f"{count(data['copies'], 'image')} of the data set {verb} another: see copies.csv in the store."
        )

"""Write stored predictions to CSV files.

Each file has the columns id,p0,...,pC,label: pK is the probability of class K, and label is the number of
the class. Tables of numbers have a column for each target, and the fold and the group of each row, so that
committee combine uses the folds of the store. The predictions of one member are written to FILE; those of
several members, or of single folds, to files with longer names beside it, such as oof_<member>_fold_0.csv.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from committee.cli._options import add_json, add_recipe, add_store, recipe_of, store_of
from committee.cli._output import print_json, print_table

GROUP = "Results"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, the files, and which predictions to write."""
    add_recipe(parser)
    add_store(parser)
    add = parser.add_argument
    add("--csv", type=Path, required=True, metavar="FILE", help="file to write")
    add("--member", metavar="NAME", help="write one member (default: all members of the recipe)")
    add(
        "--split",
        choices=["oof", "test", "val"],
        default="oof",
        help="out-of-fold rows, the test split or the val split (default: oof)",
    )
    files = parser.add_mutually_exclusive_group()
    files.add_argument(
        "--merged", action="store_true", help="write one file per member, with all folds (the default)"
    )
    files.add_argument(
        "--per-fold", action="store_true", help="write one file per member and fold, of out-of-fold rows"
    )
    parser.add_argument("--force", action="store_true", help="overwrite files with other content")
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Write the files, and print their names."""
    from committee.errors import UsageError
    from committee.inference.prediction_tables import write_tables

    if arguments.per_fold and arguments.split != "oof":
        raise UsageError(
            "--per-fold",
            expected="--split oof",
            got=f"--split {arguments.split}",
            todo="Leave --per-fold out: rows of this split do not belong to a fold.",
        )
    tables = write_tables(
        recipe_of(arguments),
        store_of(arguments),
        arguments.csv,
        member=arguments.member,
        split=arguments.split,
        per_fold=arguments.per_fold,
        force=arguments.force,
    )
    if arguments.json:
        print_json(tables)
    else:
        print_table("", ["file", "member", "networks", "rows"], [list(table.values()) for table in tables])
    return 0

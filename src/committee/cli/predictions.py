"""Write stored predictions as tables: out-of-fold, or of the test or val split.

Each table has the columns id,p0..pC,label: pK is the probability of the K-th class, label the class's number.
One member goes to FILE; several, or single folds, to files beside it, such as oof_<member>_fold_0.csv.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from committee.cli._options import add_json, add_recipe, add_store, recipe_of, store_of
from committee.cli._output import print_json, print_table

GROUP = "Results"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, and which predictions go where."""
    add_recipe(parser)
    add_store(parser)
    parser.add_argument("--csv", type=Path, required=True, metavar="FILE", help="where to write")
    parser.add_argument("--member", metavar="NAME", help="one member (default: all that the recipe means)")
    parser.add_argument(
        "--split", choices=["oof", "test", "val"], default="oof", help="which rows (default: oof)"
    )
    cut = parser.add_mutually_exclusive_group()
    cut.add_argument(
        "--merged", action="store_true", help="one table a member, all folds in it (the default)"
    )
    cut.add_argument("--per-fold", action="store_true", help="one table a member and fold; of oof only")
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Write the tables, and name them."""
    from committee.errors import UsageError
    from committee.inference.prediction_tables import write_tables

    if arguments.per_fold and arguments.split != "oof":
        raise UsageError(
            "--per-fold",
            expected="--split oof",
            got=f"--split {arguments.split}",
            todo="Leave --per-fold out: the networks that speak predict this split together.",
        )
    tables = write_tables(
        recipe_of(arguments),
        store_of(arguments),
        arguments.csv,
        member=arguments.member,
        split=arguments.split,
        per_fold=arguments.per_fold,
    )
    if arguments.json:
        print_json(tables)
    else:
        print_table("", ["file", "member", "networks", "rows"], [list(table.values()) for table in tables])
    return 0

"""Write a commented starter recipe."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from committee.errors import UsageError

GROUP = "Start"


def add_arguments(parser: ArgumentParser) -> None:
    """Add FILE, `--set` and `--force`."""
    parser.add_argument("file", nargs="?", default="recipe.yaml", metavar="FILE", help="default: recipe.yaml")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="write this value into it, such as dataset.path=photos; may be repeated",
    )
    parser.add_argument("--force", action="store_true", help="write over a file that is there")


def run(arguments: Namespace) -> int:
    """Write the file, and say what to do with it."""
    from committee.recipe.load import load_recipe
    from committee.recipe.starter import starter

    path = Path(arguments.file)
    text = starter(arguments.overrides)
    try:
        with path.open("w" if arguments.force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            str(path),
            expected="a file that is not there yet",
            got="one that is",
            todo="Write over it with --force, or name another.",
        ) from None
    first = "Run it" if load_recipe(path).dataset.is_named else "Name your images in dataset.path, then"
    print(f"Wrote {path}. {first}: committee run {path}")
    return 0

"""Print the JSON Schema of recipes, for editors."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

GROUP = "Other"


def add_arguments(parser: ArgumentParser) -> None:
    """Add no arguments."""


def run(arguments: Namespace) -> int:
    """Print the schema."""
    from committee.cli._output import print_json
    from committee.recipe.schema import schema

    print_json(schema())
    return 0

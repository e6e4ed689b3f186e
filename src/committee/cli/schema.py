"""Print the recipe's JSON Schema, for editors and other programs."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

GROUP = "Other"


def add_arguments(parser: ArgumentParser) -> None:
    """Add nothing: there is one schema."""


def run(arguments: Namespace) -> int:
    """Print the schema."""
    from committee.cli._output import print_json
    from committee.recipe.schema import schema

    print_json(schema())
    return 0

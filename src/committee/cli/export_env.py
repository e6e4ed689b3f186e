"""Prepare the environment of an export format, such as tflite.

The packages are installed by pip, with its own settings, in a folder of the user's cache or in --dir. Run it
again after an interruption: what is installed is kept.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from committee.cli._output import print_text

GROUP = "Other"
FORMATS = ("tflite",)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the format and `--dir`."""
    parser.add_argument("format", choices=FORMATS, metavar="FORMAT", help="tflite")
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="folder of the environment (default: a cache)"
    )


def run(arguments: Namespace) -> int:
    """Prepare the environment, and print what was made."""
    from committee.exporters.shared.tflite_environment import VARIABLE, folder, prepare

    default = folder()
    place = arguments.dir.absolute() if arguments.dir else default
    prepare(place, print_text)
    print_text(f"{place} is complete: committee export --formats {arguments.format}")
    if place != default.absolute():
        print_text(f"Set the environment variable {VARIABLE} to {place}, so that it is found.")
    return 0

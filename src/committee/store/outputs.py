"""Files that a user names for the output of a command."""

from __future__ import annotations

import contextlib
import filecmp
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from committee.errors import UsageError
from committee.store.commit import replacing


def check_output(path: Path, inputs: Iterable[str | Path], *, force: bool = False) -> None:
    """Raise a UsageError if an output is one of the files that the command reads, or below such a folder.

    With `force`, nothing is checked.
    """
    place = path.resolve()
    taken = None if force else next((each for each in inputs if _holds(Path(each).resolve(), place)), None)
    if taken is not None:
        raise UsageError(
            str(path),
            expected="an output file that is not an input",
            got=f"a file of the input {taken}",
            todo="Name another file, or overwrite the input with --force.",
        )


@contextlib.contextmanager
def output_text(path: Path, *, force: bool = False) -> Iterator[TextIO]:
    """Write a text file atomically, and never over a file with other content, unless `force` is set.

    The same command on the same inputs gives the same content, so that it can be repeated. A link is
    followed; a pipe or a device is written itself.

    Raises
    ------
    UsageError
        The file exists, and has other content.
    StoreError
        The disk is full, read-only or failing.
    """
    target = path.resolve() if path.is_file() else path
    with replacing(target) as temporary:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            yield file
        exists = target.is_file() and temporary != target
        if exists and not force and not filecmp.cmp(temporary, target, shallow=False):
            raise UsageError(
                f"{path}: the file exists with other content",
                todo="Name another file, or overwrite it with --force.",
            )


def _holds(each: Path, place: Path) -> bool:
    return place == each or (each.is_dir() and place.is_relative_to(each))

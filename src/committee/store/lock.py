"""One writer a store: a lock that names its holder, and that a dead holder does not keep."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from committee.errors import StoreError

_FILE = ".lock"
_held: set[Path] = set()


def holds(root: Path) -> bool:
    """Tell whether this process holds the store at `root`."""
    return root.resolve() in _held


@contextlib.contextmanager
def hold(root: Path) -> Iterator[None]:
    """Be the only writer of the store at `root` while the block runs; a block inside a block is free.

    The operating system keeps the lock, so it ends with the process that took it, however that ends.

    Raises
    ------
    StoreError
        Another process holds it (named by its number and host), or the folder is not writable.
    """
    root = root.resolve()
    if root in _held:
        yield
        return
    with _open(root) as file:
        _take(file, root)
        _held.add(root)
        try:
            yield
        finally:
            _held.discard(root)
            file.seek(0)
            file.truncate()


def _open(root: Path) -> IO[str]:
    try:
        root.mkdir(parents=True, exist_ok=True)
        return (root / _FILE).open("a+", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            str(root), expected="a folder that can be written to", got=error.strerror or str(error),
            todo="Make it writable, or name another with --store.",
        ) from error  # fmt: skip


def _take(file: IO[str], root: Path) -> None:
    try:
        _lock(file)
    except OSError:
        raise StoreError(
            str(root), expected="to be its only writer", got=f"a run of {_holder(file)}",
            todo="Wait until it ends, or name another store with --store.",
        ) from None  # fmt: skip
    file.seek(0)
    file.truncate()
    json.dump({"pid": os.getpid(), "host": socket.gethostname()}, file)
    file.flush()


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        record = json.load(file)
        return f"process {int(record['pid'])} on {record['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        # A locked byte cannot be read there: one far behind the text leaves the holder's name readable.
        file.seek(1 << 30)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)

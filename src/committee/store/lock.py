"""One writer a store: a lock that names its holder, and that a dead holder does not keep."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from committee.errors import StoreError
from committee.store.disk import disk_errors
from committee.store.inside import inside

LOCK = ".lock"
_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}
_held: set[Path] = set()


class HeldError(StoreError):
    """Another process writes to the store."""


def holds(root: Path) -> bool:
    """Tell whether this process holds the store at `root`."""
    return root.resolve() in _held


@contextlib.contextmanager
def hold(root: Path) -> Iterator[None]:
    """Be the only writer of the store at `root` while the block runs; a block inside a block is free.

    The operating system keeps the lock, so it ends with the process that took it, however that ends.

    Raises
    ------
    HeldError
        Another process holds it: the sentence has its number, host, start and command.
    StoreError
        The folder is not writable, or on a file system without locks.
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
            with contextlib.suppress(OSError):
                file.truncate(0)


def _open(root: Path) -> BinaryIO:
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Unbuffered: a full disk speaks when the record is written, not again when the file is closed.
        return inside(root, LOCK).open("a+b", buffering=0)
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            str(root),
            expected="a folder that can be written to",
            got=error.strerror or str(error),
            todo="Make it writable, or name another with --store.",
        ) from error


def _take(file: BinaryIO, root: Path) -> None:
    try:
        _lock(file)
    except OSError as error:
        if error.errno not in _HELD:
            raise StoreError(
                str(root),
                expected="a file system that can lock files",
                got=error.strerror or str(error),
                todo="Name a store on another disk with --store.",
            ) from error
        raise HeldError(
            str(root),
            expected="to be its only writer",
            got=_holder(file),
            todo="Wait until it ends, or name another store with --store.",
        ) from None
    record = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now(), "command": _command()}
    with disk_errors(root, needed=4096):
        file.truncate(0)
        file.write(json.dumps(record).encode())


def _now() -> str:
    return dt.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]


def _holder(file: BinaryIO) -> str:
    file.seek(0)
    try:
        record = json.loads(file.read(4096))
        who = f"process {int(record['pid'])} on {record['host']}, since {record['since']}"
        return f"{who}: {record['command']}"
    except (ValueError, KeyError, TypeError, OSError, RecursionError):
        return "another process"


if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        # A locked byte cannot be read there: one far behind the text leaves the holder's name readable.
        file.seek(1 << 30)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)

"""The lock of a store, which allows one writing process and is released when that process ends."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from committee.errors import StoreError, system_reason
from committee.store.disk import disk_errors, not_writable
from committee.store.inside import inside

Memory = dict[tuple[int, ...], str]

LOCK = ".lock"
_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}
_held: dict[Path, Memory] = {}


class HeldError(StoreError):
    """Another process holds the lock of the store."""


def holds(root: Path) -> bool:
    """Return whether this process holds the lock of the store at `root`."""
    return root.resolve() in _held


def memory() -> Memory | None:
    """Return what this process remembers while it holds a lock: file -> hash; None if it holds none."""
    return next(reversed(_held.values()), None)


def outermost(root: Path) -> Path:
    """Return the largest folder around `root` whose lock this process holds, or `root` if there is none.

    The store of a comparison is in the folder of another store, and reads from it.
    """
    own = root.resolve()
    return min(
        (each for each in _held if own.is_relative_to(each)), default=own, key=lambda each: len(each.parts)
    )


@contextlib.contextmanager
def hold(root: Path) -> Iterator[None]:
    """Hold the lock of the store at `root` while the block runs; nested blocks have no effect.

    The lock belongs to the process, so the operating system releases it however the process ends.

    Raises
    ------
    HeldError
        Another process holds the lock; the message has its number, host, start time and command.
    StoreError
        The folder is not writable, or its file system has no locks.
    """
    root = root.resolve()
    if root in _held:
        yield
        return
    with _open(root) as file:
        _acquire(file, root)
        _held[root] = {}
        try:
            yield
        finally:
            del _held[root]
            with contextlib.suppress(OSError):
                file.truncate(0)


def is_held(root: Path) -> bool:
    """Return whether another process holds the lock of the store at `root`."""
    root = root.resolve()
    if root in _held or not (root / LOCK).is_file():
        return False
    with (root / LOCK).open("a+b", buffering=0) as file:
        return not _try(file)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait until no other process is in such a block for the same file, then run the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b", buffering=0) as file:
        while not _try(file):
            time.sleep(0.02)
        yield


def _try(file: BinaryIO) -> bool:
    """Lock a file until it is closed; return False if another process has locked it."""
    try:
        _lock(file)
    except OSError as error:
        if error.errno not in _HELD:
            raise
        return False
    return True


def _open(root: Path) -> BinaryIO:
    try:
        root.mkdir(parents=True, exist_ok=True)
        # Unbuffered: a full disk raises when the record is written, not again when the file is closed.
        return inside(root, LOCK).open("a+b", buffering=0)
    except StoreError:
        raise
    except OSError as error:
        todo = "Make it writable, or name another folder with --store."
        raise not_writable(root, error, todo) from error


def _acquire(file: BinaryIO, root: Path) -> None:
    try:
        _lock(file)
    except OSError as error:
        if error.errno not in _HELD:
            raise StoreError(
                str(root),
                expected="a file system with file locks",
                got=system_reason(error),
                todo="Name a store on another disk with --store.",
            ) from error
        raise HeldError(
            str(root),
            expected="no other process that writes to it",
            got=_holder(file),
            todo="Wait until it ends, or name another store with --store.",
        ) from None
    with disk_errors(root, needed=4096):
        file.truncate(0)
        file.write(json.dumps(holder()).encode())


def holder() -> dict[str, Any]:
    """Return the record of this process: its number, host, time and command."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": _now(), "command": _command()}


def described(record: object) -> str:
    """Return the process that a record of a lock names, in words."""
    try:
        who = f"process {int(record['pid'])} on {record['host']}, since {record['since']}"  # type: ignore[index]
        return f"{who}: {record['command']}"  # type: ignore[index]
    except (ValueError, KeyError, TypeError):
        return "another process"


def _now() -> str:
    return dt.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]


def _holder(file: BinaryIO) -> str:
    file.seek(0)
    try:
        return described(json.loads(file.read(4096)))
    except (ValueError, OSError, RecursionError):
        return described(None)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        # Windows cannot read a locked byte: one far behind the record leaves the record readable.
        file.seek(1 << 30)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)

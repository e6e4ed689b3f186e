"""Hashes of files, each computed once while this process holds the lock of a store."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path

from committee.store import lock

SETTLED = 2 * 10**9
"""Nanoseconds after its last change from which a file's hash is remembered: file systems round times."""


def hash_file(path: Path, opened: Callable[[Path], BufferedReader] = lambda path: path.open("rb")) -> str:
    """Return the SHA-256 of a file's content.

    While this process holds the lock of a store, the hash of an unchanged file is remembered: one with the
    same device, inode, size, and times of modification and of change. The stages of a run read the same
    files several times, and no other process may write to the store. The hash of a file that was changed in
    the last two seconds is not remembered, since another change could have the same time.

    Parameters
    ----------
    path : Path
    opened : callable, optional
        Opens the file for reading.

    Raises
    ------
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from committee.store.hashes import hash_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a").write_bytes(b"abc")
    ...     hash_file(Path(folder, "a"))[:8]
    'ba7816bf'
    """
    with opened(path) as file:
        memory = lock.memory()
        if memory is None:
            return _sha256(file)
        found = os.fstat(file.fileno())
        edition = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        if edition in memory:
            return memory[edition]
        is_settled = max(found.st_mtime_ns, found.st_ctime_ns) < time.time_ns() - SETTLED
        known = _sha256(file)
        if is_settled and found.st_ino:  # some file systems have no inodes
            memory[edition] = known
        return known


def _sha256(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()

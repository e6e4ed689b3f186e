"""Working stores of a node, one for each store whose fits it makes, and the removal of those not in use."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path

from committee.executors._ray_mirror import LOCKS
from committee.store.lock import LOCK, exclusive, holds, is_held

DAY = 86400.0
KEPT = 7 * DAY
"""Seconds after its last fit in which a working store is kept for the next run."""
KEPT_IF_SHORT = DAY
"""The same while the disk is short of space."""
SHORT = 0.1
"""Share of the disk that is free below which it is short of space."""
USED = ".used"


def working_store(name: str, top: Path | None = None) -> tuple[Path, str]:
    """Return the folder of a working store of this user, and a mark that is another one once it was removed.

    Working stores that have not been used for some days are removed.

    Parameters
    ----------
    name : str
    top : Path, optional
        The folder of all working stores.

    Raises
    ------
    PermissionError
        The folder of all working stores belongs to another user.
    """
    top = top or own_folder()
    mark = _use(top, name)
    for other in sorted(each for each in top.iterdir() if each.is_dir() and each.name != name):
        with contextlib.suppress(OSError):
            remove_unused(other)
    return top / name, mark


def own_folder() -> Path:
    """Return the folder of all working stores of this user, which others cannot read."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    top = Path(tempfile.gettempdir(), f"committee-{user}")
    top.mkdir(mode=0o700, exist_ok=True)
    if hasattr(os, "getuid") and (top.is_symlink() or top.stat().st_uid != os.getuid()):
        raise PermissionError(f"{top} belongs to another user")
    return top


def remove_unused(folder: Path) -> None:
    """Remove a working store that has not been used for some days and in which no fit runs."""
    if not _is_unused(folder):
        return
    with exclusive(_lock_of(folder)):
        if _is_unused(folder):
            # Renamed first: what remains if this process ends is not taken for a working store.
            gone = folder.rename(folder.with_name(f"{folder.name}.{secrets.token_hex(4)}.gone"))
            shutil.rmtree(gone, ignore_errors=True)


def _use(top: Path, name: str) -> str:
    """Note that a working store is used now, and return its mark."""
    used = top / name / USED
    with exclusive(_lock_of(top / name)):
        used.parent.mkdir(exist_ok=True)
        if not used.is_file():
            used.write_text(secrets.token_hex(8), encoding="utf-8")
        os.utime(used)
        return used.read_text(encoding="utf-8")


def _is_unused(folder: Path) -> bool:
    used = folder / USED
    last = (used if used.is_file() else folder).stat().st_mtime
    disk = shutil.disk_usage(folder)
    kept = KEPT_IF_SHORT if disk.free < SHORT * disk.total else KEPT
    return time.time() - last > kept and not any(map(_is_locked, folder.glob(f"{LOCKS}/*/{LOCK}")))


def _is_locked(lock: Path) -> bool:
    return holds(lock.parent) or is_held(lock.parent)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")

"""Errors of full, read-only and failing disks, with the size that is needed and the space that is free."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from committee.base.arguments import path_of
from committee.errors import CommitteeError, StoreError, system_reason

Saved = TypeVar("Saved")
_FULL = {errno.ENOSPC, errno.EDQUOT}
_LOCKED = {errno.EROFS, errno.EACCES, errno.EPERM}
_FAILING = {errno.EIO, errno.EFBIG}


@contextlib.contextmanager
def disk_errors(path: Path, partial: Path | None = None, needed: int = 0) -> Iterator[None]:
    """Turn errors of the disk in a block that writes `path` into a StoreError; other errors are not changed.

    Parameters
    ----------
    path : Path
        The file or folder that is written, for the message.
    partial : Path, optional
        The temporary file or folder that the block writes: its size counts towards the size needed.
    needed : int
        Size of the result in bytes, if known.

    Raises
    ------
    StoreError
        The disk is full, read-only or failing.
    """
    try:
        yield
    except CommitteeError:
        raise
    except Exception as error:
        code = _code(error)
        if code not in _FULL | _LOCKED | _FAILING or _is_elsewhere(error, path):
            raise
        raise _store_error(path, code, partial or path, needed) from error


def require_room(path: Path, needed: int) -> None:
    """Raise StoreError if fewer than `needed` bytes are free on the disk of `path`."""
    with disk_errors(path, needed=needed):
        if free_bytes(path) < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def require_writable(root: Path) -> None:
    """Raise StoreError unless a test file can be written to a store and to each folder directly below it.

    File modes are not sufficient: they do not apply to a superuser.
    """
    for folder in (root, *(each for each in root.iterdir() if each.is_dir() and not each.is_symlink())):
        probe = folder / f".probe.{secrets.token_hex(4)}.new~"
        with disk_errors(folder, needed=4096):
            try:
                with probe.open("xb") as file:
                    if folder == root:  # One flush detects a failing disk, since all folders are on it.
                        file.write(bytes(4096))
                        file.flush()
                        os.fsync(file.fileno())
            finally:
                probe.unlink(missing_ok=True)


def free_bytes(path: Path) -> int:
    """Return the number of free bytes on the disk of `path`, which need not exist."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def in_words(size: int) -> str:
    """Format a number of bytes for messages: `812 bytes`, `1.2 MB`."""
    return f"{size} bytes" if size < 100_000 else f"{size / 1e6:.1f} MB"


def folder_of(value: Any) -> Path:
    """Return the folder that a caller gives; raise UsageError unless it is a path."""
    return path_of("folder", value)


def writes_folder(save: Callable[[Saved, Path], None]) -> Callable[[Saved, Path | str], None]:
    """Return a method that writes files into a folder, which it makes.

    It raises UsageError if the folder is not a path, and StoreError if the folder or a file in it cannot be
    written.
    """

    @functools.wraps(save)
    def checked(self: Saved, folder: Path | str) -> None:
        place = folder_of(folder)
        with _writing(place):
            save(self, place)

    return checked


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except StoreError:
        raise
    except Exception as error:
        if not (code := _code(error)):
            raise
        reason = OSError(code, os.strerror(code))
        raise not_writable(folder, reason, "Give a folder that may be written.") from error


def not_writable(path: Path, error: OSError, todo: str) -> StoreError:
    """Return the error for a path that cannot be written, with the system's reason."""
    return StoreError(f"{path}: not writable ({system_reason(error)})", todo=todo)


def _store_error(path: Path, code: int, partial: Path, needed: int) -> StoreError:
    intact = "Results stored before are intact:"
    if code in _FULL:
        expected, got = _disk_space(code, partial, needed)
        todo = f"{intact} free some space, then run the same command again."
        return StoreError(str(path), expected=expected, got=got, todo=todo)
    advice = (
        "make it writable, or name another folder with --store."
        if code in _LOCKED
        else "check the disk, then run the same command again."
    )
    return not_writable(path, OSError(code, os.strerror(code)), f"{intact} {advice}")


def _disk_space(code: int, partial: Path, needed: int) -> tuple[str, str]:
    """Return the size of a result and the space available for it, for the message."""
    files = [partial] if partial.is_file() else [each for each in partial.rglob("*") if each.is_file()]
    found = [each.stat() for each in files]
    size = sum(each.st_size for each in found)
    taken = sum(int(getattr(each, "st_blocks", each.st_size / 512) * 512) for each in found)
    free = free_bytes(partial)
    if max(needed, size) > free + taken:
        return f"{in_words(max(needed, size))} of disk space", in_words(free + taken)
    reason = system_reason(OSError(code, os.strerror(code)))
    return "more disk space", f"{reason} ({in_words(free)} free, {in_words(size)} written)"


def _code(error: Exception) -> int:
    """Return the system's error number, which some libraries report in their message only; 0 if none."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if found := re.search(r"\(os error (\d+)\)", str(error)):  # Rust: safetensors
        number = int(found[1])
        return number if os.name != "nt" else OSError(0, "", None, number).errno or 0
    short = re.search(r"\d+ requested and \d+ written|iostream error", str(error))  # NumPy, C++: OpenVINO
    return errno.ENOSPC if short else 0


def _is_elsewhere(error: Exception, path: Path) -> bool:
    """Return whether the error concerns another file than the one that is written, such as an image."""
    name = getattr(error, "filename", None)
    return isinstance(name, str) and not Path(name).absolute().is_relative_to(path.parent.absolute())

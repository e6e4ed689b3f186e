"""What a full, read-only or failing disk says: which file, how much it needs, how much there is."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from committee.errors import CommitteeError, StoreError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_LOCKED = {errno.EROFS, errno.EACCES, errno.EPERM}
_FAILING = {errno.EIO, errno.EFBIG}


@contextlib.contextmanager
def disk_errors(path: Path, partial: Path | None = None, needed: int = 0) -> Iterator[None]:
    """Say in one sentence what a disk does to the block that writes `path`; other errors pass as they are.

    Parameters
    ----------
    path : Path
        What is written, for the sentence.
    partial : Path, optional
        The file or folder that the block writes meanwhile: its size counts towards what is needed.
    needed : int
        Bytes that the result takes, where that is known.

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
        raise _sentence(path, code, partial or path, needed) from error


def require_room(path: Path, needed: int) -> None:
    """Refuse at the start what will not fit on the disk.

    Raises
    ------
    StoreError
        `needed` bytes are more than there are for `path`.
    """
    with disk_errors(path, needed=needed):
        if free_bytes(path) < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def require_writable(root: Path) -> None:
    """Try a real write in a store and in each folder right below it: modes say nothing to a superuser.

    Raises
    ------
    StoreError
        A folder cannot be written to; or the disk is full, or fails.
    """
    for folder in (root, *(each for each in root.iterdir() if each.is_dir() and not each.is_symlink())):
        probe = folder / f".probe.{secrets.token_hex(4)}.new~"
        with disk_errors(folder, needed=4096):
            try:
                with probe.open("xb") as file:
                    if folder == root:  # All are on one disk: one flush is enough to hear that it fails.
                        file.write(bytes(4096))
                        file.flush()
                        os.fsync(file.fileno())
            finally:
                probe.unlink(missing_ok=True)


def free_bytes(path: Path) -> int:
    """Return the bytes that are free where `path` is, or would be."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def in_words(size: int) -> str:
    """Return a number of bytes as people read it: `812 bytes`, `1.2 MB`."""
    return f"{size} bytes" if size < 100_000 else f"{size / 1e6:.1f} MB"


def _sentence(path: Path, code: int, partial: Path, needed: int) -> StoreError:
    kept = "What was stored before is intact:"
    if code in _FULL:
        expected, got = _room(code, partial, needed)
        return StoreError(
            str(path),
            expected=expected,
            got=got,
            todo=f"{kept} free some space, then run the same command again.",
        )
    if code in _LOCKED:
        return StoreError(
            str(path),
            expected="a folder that can be written to",
            got=os.strerror(code),
            todo=f"{kept} make it writable, or name another with --store.",
        )
    return StoreError(
        str(path),
        expected="a disk that takes the file",
        got=os.strerror(code),
        todo=f"{kept} look after the disk, then run the same command again.",
    )


def _room(code: int, partial: Path, needed: int) -> tuple[str, str]:
    """Return what a result takes on the disk, and what there is for it, in words."""
    files = [partial] if partial.is_file() else [each for each in partial.rglob("*") if each.is_file()]
    found = [each.stat() for each in files]
    size = sum(each.st_size for each in found)
    taken = sum(int(getattr(each, "st_blocks", each.st_size / 512) * 512) for each in found)
    free = free_bytes(partial)
    if max(needed, size) > free + taken:
        return f"{in_words(max(needed, size))} on its disk", in_words(free + taken)
    return "more room on its disk", f"{os.strerror(code)} ({in_words(free)} free, {in_words(size)} written)"


def _code(error: Exception) -> int:
    """Return the system's error number, 0 where there is none; libraries hide it in their sentences."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if found := re.search(r"\(os error (\d+)\)", str(error)):  # Rust: safetensors
        number = int(found[1])
        return number if os.name != "nt" else OSError(0, "", None, number).errno or 0
    short = re.search(r"\d+ requested and \d+ written", str(error))  # NumPy
    return errno.ENOSPC if short else 0


def _is_elsewhere(error: Exception, path: Path) -> bool:
    """Tell whether the error is about a file that is not written here, such as an image."""
    name = getattr(error, "filename", None)
    return isinstance(name, str) and not Path(name).absolute().is_relative_to(path.parent.absolute())

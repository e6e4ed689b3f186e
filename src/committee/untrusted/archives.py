"""Unpacking of untrusted zip files: nothing is written elsewhere, and no small file fills the disk."""

from __future__ import annotations

import errno
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from committee.errors import StoreError, unreadable
from committee.untrusted.growth import check_growth

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError)
MOST = 10_000
"""Largest number of files in an archive; more would take minutes to unpack, however small they are."""
TODO = "Do not use this file: committee does not write such ones."


def unpack(path: Path, folder: Path) -> None:
    """Unpack a zip file into a folder; all of its entries are checked before the first is written.

    Raises
    ------
    StoreError
        The file is damaged or cannot be read; an entry leads outside the folder, is a link, is encrypted or
        occurs twice; there are more than 10,000 entries; or a small file would occupy much space.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            files = [each for each in archive.infolist() if not each.is_dir()]
            _check(path, files)
            for each in files:
                target = folder / each.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(each) as source, target.open("xb") as new:
                    shutil.copyfileobj(source, new)
    except StoreError:
        raise
    except (*DAMAGED, OSError) as error:
        # A damaged file may name a position before its start, which the system refuses.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise unreadable(StoreError, path, error) from error
        raise StoreError(str(path), expected="an intact zip file", got=f"a damaged one ({error})") from error


def _check(path: Path, files: list[zipfile.ZipInfo]) -> None:
    """Raise StoreError unless all entries are plain files with different names inside a folder."""
    if len(files) > MOST:
        raise _refused(path, f"at most {MOST:,} files", f"{len(files):,}")
    seen: set[str] = set()
    for each in files:
        if _leads_outside(each.filename):
            raise _refused(path, "names of files inside one folder", repr(each.filename))
        if stat.S_IFMT(each.external_attr >> 16) not in (0, stat.S_IFREG):
            raise _refused(path, "plain files", f"a link or a device, {each.filename!r}")
        if each.flag_bits & 1:
            raise _refused(path, "files that are not encrypted", repr(each.filename))
        if each.filename.lower() in seen:  # one file on Windows and macOS
            raise _refused(path, "different names", f"{each.filename!r} twice")
        seen.add(each.filename.lower())
    packed, unpacked = path.stat().st_size, sum(each.file_size for each in files)
    try:
        if sum(each.compress_size for each in files) > packed:
            raise ValueError("entries that overlap")
        check_growth(packed, unpacked)
    except ValueError as error:
        raise _refused(path, "a zip file of ordinary size", str(error)) from error


def _leads_outside(name: str) -> bool:
    """Return whether a name is absolute, empty, or contains `..`, or a drive or a stream of Windows."""
    path = PurePosixPath(name)
    anchored = path.is_absolute() or bool(PureWindowsPath(name).anchor)
    return anchored or ".." in path.parts or not path.parts or any(sign in name for sign in "\\:\0")


def _refused(path: Path, expected: str, got: str) -> StoreError:
    return StoreError(str(path), expected=expected, got=got, todo=TODO)

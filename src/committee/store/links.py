"""Hard links between equal files, so that weights shared by several models are stored once."""

from __future__ import annotations

import contextlib
import filecmp
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

LEAST = 2**16
"""Smallest size in bytes of a file that is linked."""


def link_duplicates(folder: Path, others: Iterable[Path]) -> int:
    """Replace large files of a folder by hard links to equal files in others; return their number.

    Stored files are never changed in place, so a link is as safe as a copy. On a file system without links
    the copies remain.

    Parameters
    ----------
    folder : Path
        A temporary folder that is not in the store yet.
    others : iterable of Path
        Stored folders; those that do not exist are ignored.
    """
    known: dict[int, list[Path]] = {}
    for file in _large(others):
        known.setdefault(file.stat().st_size, []).append(file)
    linked = 0
    for file in _large([folder]):
        duplicate = next((each for each in known.get(file.stat().st_size, ()) if _same(file, each)), None)
        if duplicate is not None:
            linked += _replace(file, duplicate)
    return linked


def _large(folders: Iterable[Path]) -> list[Path]:
    files = (file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file())
    return [file for file in files if file.stat().st_size >= LEAST]


def _same(one: Path, other: Path) -> bool:
    return filecmp.cmp(one, other, shallow=False)


def _replace(file: Path, duplicate: Path) -> bool:
    new = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        os.link(duplicate, new)
        new.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        return False
    return True

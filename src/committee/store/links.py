"""The same bytes once on disk: what is made of members holds their weights too."""

from __future__ import annotations

import contextlib
import filecmp
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

LEAST = 2**16
"""Bytes of the smallest file that is worth a link."""


def link_twins(folder: Path, others: Iterable[Path]) -> int:
    """Replace large files of a folder by hard links to equal ones in others; return how many.

    Stored files are never changed in place, so a link is as safe as a copy. Where the file system has no
    links, the copies stay.

    Parameters
    ----------
    folder : Path
        Not in the store yet.
    others : iterable of Path
        Stored folders; one that is not there is passed over.
    """
    known: dict[int, list[Path]] = {}
    for file in _large(others):
        known.setdefault(file.stat().st_size, []).append(file)
    linked = 0
    for file in _large([folder]):
        twin = next((each for each in known.get(file.stat().st_size, ()) if _same(file, each)), None)
        if twin is not None:
            linked += _replace(file, twin)
    return linked


def _large(folders: Iterable[Path]) -> list[Path]:
    files = (file for folder in folders for file in sorted(folder.rglob("*")) if file.is_file())
    return [file for file in files if file.stat().st_size >= LEAST]


def _same(one: Path, other: Path) -> bool:
    return filecmp.cmp(one, other, shallow=False)


def _replace(file: Path, twin: Path) -> bool:
    new = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        os.link(twin, new)
        new.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        return False
    return True

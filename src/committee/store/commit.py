"""Atomic, durable writing: a folder or file appears in the store complete or not at all."""

from __future__ import annotations

import contextlib
import glob
import itertools
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from committee.errors import StoreError
from committee.store import copies
from committee.store.disk import disk_errors
from committee.store.lock import LOCK
from committee.store.manifest import NAME, NEW, OLD, Manifest, list_files, plain, read_manifest

PASSING = "resume"
"""Kind of folders that are replaced every few seconds: a writer to object storage uploads the last of them
when it renews its lease."""


@contextlib.contextmanager
def commit(folder: Path, *, kind: str, fingerprint: str, **facts: Any) -> Iterator[Path]:
    """Write a folder of the store: yield a temporary folder, which is renamed when the block ends.

    Parameters
    ----------
    folder : Path
        The final path. An existing folder is replaced once the new one is complete.
    kind : str
        Kind of the content, for listings.
    fingerprint : str
        Digest of everything that determines the content (`manifest.digest`).
    **facts
        JSON values that are written to the manifest.

    Yields
    ------
    Path
        The folder to write into.

    Raises
    ------
    StoreError
        The disk is full, read-only or failing. An existing folder is not changed.

    Notes
    -----
    Files are flushed before the rename and the parent folder after it, so that after a power failure either
    the old or the new folder is there. Between the two renames of a replacement neither is in place: readers
    wait, and `sweep` completes the replacement if the writer was killed there.
    """
    with _replacing_folder(folder) as new:
        yield new
        record = Manifest(kind, fingerprint, list_files(new), facts)
        (new / NAME).write_text(json.dumps(record.to_json(), indent=1, default=plain), "utf-8")
    if kind != PASSING:
        copies.publish(folder)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Write a folder atomically and durably: yield a temporary folder, which is renamed when the block ends.

    Unlike `commit`, no manifest is written.

    Raises
    ------
    StoreError
        The disk is full, read-only or failing. An existing folder is not changed.
    """
    with _replacing_folder(folder) as new:
        yield new
    copies.publish(folder)


@contextlib.contextmanager
def _replacing_folder(folder: Path) -> Iterator[Path]:
    new, old = _temporary_names(folder)
    with disk_errors(folder):
        _create(folder.parent)
        new.mkdir()
    try:
        with disk_errors(folder, new):
            yield new
            _flush_tree(new)
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
            _flush(folder.parent)
    except BaseException:
        _restore(folder, new, old)
        raise
    shutil.rmtree(old, ignore_errors=True)


def remove(folder: Path) -> None:
    """Remove a folder from the store atomically, if it exists."""
    renamed, _ = _temporary_names(folder)
    with disk_errors(folder), contextlib.suppress(FileNotFoundError):
        folder.rename(renamed)
    shutil.rmtree(renamed, ignore_errors=True)
    copies.publish(folder)


def is_being_written(folder: Path) -> bool:
    """Return whether a process writes this folder now, or was killed while it did."""
    return any(folder.parent.glob(f".{glob.escape(folder.name[:100])}.*{NEW}"))


@contextlib.contextmanager
def replacing(path: Path, needed: int = 0) -> Iterator[Path]:
    """Write one file atomically and durably: yield a temporary path, which is renamed when the block ends.

    Parameters
    ----------
    path : Path
        The file; its folder is created. The path of a pipe or a device is yielded itself.
    needed : int
        Size of the file in bytes, if known, for the error about a full disk.

    Raises
    ------
    StoreError
        The disk is full, read-only or failing. An existing file is not changed, unless the last flush
        failed: then the complete new file is in place.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}{NEW}")
    try:
        with disk_errors(path, temporary, needed):
            _create(path.parent)
            yield temporary
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    copies.publish(path)


def write_file(path: Path, content: bytes) -> None:
    """Write one file atomically and durably; raise what `replacing` raises."""
    with replacing(path, len(content)) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: object) -> None:
    """Write `value` as a JSON file, atomically and durably."""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=plain)
    write_file(path, (text + "\n").encode())


def sweep(root: Path) -> list[Path]:
    """Complete or remove what a killed writer left below `root`; return the temporary paths.

    The caller must hold the store's lock: the temporary files of a running writer look the same.
    """
    left = []
    for top, folders, files in os.walk(root):
        # A nested store, such as that of `committee debug`, has its own lock.
        folders[:] = [name for name in folders if not Path(top, name, LOCK).exists()]
        names = (name for name in (*folders, *files) if name.startswith("."))
        left += [Path(top, name) for name in names if name.endswith((NEW, OLD))]
    _tidy(left)
    return left


def sweep_beside(path: Path) -> None:
    """Complete or remove what a killed writer of one file or folder outside of a store left beside it."""
    stem, end = "|".join(map(re.escape, (path.name, path.name[:100]))), "|".join(map(re.escape, (NEW, OLD)))
    names = re.compile(rf"\.({stem})\.[0-9a-f]{{8}}({end})")
    folder = path.parent
    _tidy([each for each in folder.glob(".*") if names.fullmatch(each.name)] if folder.is_dir() else [])


def _tidy(left: Iterable[Path]) -> None:
    for path in sorted(left, key=lambda path: path.name.endswith(NEW)):
        if path.name.endswith(OLD):
            _finish_replacement(path)
        # On Windows a file that a reader has open cannot be removed; the next sweep removes it.
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def _finish_replacement(old: Path) -> None:
    """Rename the new folder to its final path if it is complete, else restore the old one."""
    stem = old.name.removesuffix(OLD)
    folder = old.with_name(stem.removeprefix(".").rpartition(".")[0])
    if folder.exists():
        return
    new = old.with_name(stem + NEW)
    try:
        read_manifest(new)
    except StoreError:
        old.rename(folder)
    else:
        new.rename(folder)
    _flush(folder.parent)


def _temporary_names(folder: Path) -> tuple[Path, Path]:
    """Return unused paths next to a folder for its new and its old content."""
    token = secrets.token_hex(4)
    new, old = (folder.with_name(f".{folder.name}.{token}{end}") for end in (NEW, OLD))
    return new, old


def _restore(folder: Path, new: Path, old: Path) -> None:
    """Restore the old folder; if the disk fails again, `sweep` does it later."""
    with contextlib.suppress(OSError):
        if not new.exists():  # The last flush failed after the renames.
            folder.rename(new)
        if old.exists():
            old.rename(folder)
    shutil.rmtree(new, ignore_errors=True)


def _create(folder: Path) -> None:
    """Create a folder and its parents durably."""
    missing = list(itertools.takewhile(lambda each: not each.exists(), (folder, *folder.parents)))
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        _flush(each.parent)


def _flush_tree(folder: Path) -> None:
    for top, _, files in os.walk(folder):
        for name in files:
            _flush(Path(top, name))
        _flush(Path(top))


def _flush(path: Path) -> None:
    """Flush a file or folder to the disk; Windows cannot flush folders."""
    if path.is_dir() and os.name == "nt":
        return
    # Windows flushes only files that are open for writing; on other systems a file may be read-only.
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

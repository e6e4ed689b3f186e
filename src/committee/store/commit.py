"""All or nothing: a folder or file appears in the store complete and durable, or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from committee.errors import CommitteeError, StoreError
from committee.store.manifest import NAME, Manifest, list_files, plain, read_manifest

NEW, OLD = ".new~", ".old~"
_DISK = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EDQUOT}


@contextlib.contextmanager
def commit(folder: Path, *, kind: str, made_from: str, **facts: Any) -> Iterator[Path]:
    """Write a folder of the store: yield a temporary one, and put it in place when the block ends.

    Parameters
    ----------
    folder : Path
        Where the result shall be. What is there already is replaced, once the new one is complete.
    kind : str
        What it is, for listings.
    made_from : str
        Digest of all that made it (`manifest.digest`).
    **facts
        Plain JSON values to keep in the manifest.

    Yields
    ------
    Path
        The folder to write into.

    Raises
    ------
    StoreError
        The disk is full, read-only or failing. What was there before is untouched.

    Notes
    -----
    Files are flushed before the rename and the parent folder after it, so that a power cut leaves the old or
    the new one. Between the two renames of a replacement neither is in place: `sweep` completes that.
    """
    token = secrets.token_hex(4)
    new, old = (folder.with_name(f".{folder.name}.{token}{end}") for end in (NEW, OLD))
    with _disk_errors(folder):
        try:
            new.mkdir(parents=True)
            yield new
            record = Manifest(kind, made_from, list_files(new), facts)
            (new / NAME).write_text(json.dumps(record.to_json(), indent=1, default=plain), "utf-8")
            _flush_tree(new)
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
            _flush(folder.parent)
        except BaseException:
            if old.exists() and not folder.exists():
                old.rename(folder)
            shutil.rmtree(new, ignore_errors=True)
            raise
    shutil.rmtree(old, ignore_errors=True)


def write_file(path: Path, content: bytes) -> None:
    """Write one file atomically and durably."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{NEW}")
    with _disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: object) -> None:
    """Write `value` as a JSON file, atomically and durably."""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=plain)
    write_file(path, (text + "\n").encode())


def sweep(root: Path) -> list[Path]:
    """Repair what a killed writer left under `root`; return the temporary paths that were dealt with.

    Only the holder of the store's lock may sweep: another writer's work would look like leavings.
    """
    left = [Path(top, name) for top, folders, files in os.walk(root) for name in (*folders, *files)
            if name.startswith(".") and name.endswith((NEW, OLD))]  # fmt: skip
    for path in sorted(left, key=lambda path: path.name.endswith(NEW)):
        if path.name.endswith(OLD):
            _finish_replacement(path)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return left


def _finish_replacement(old: Path) -> None:
    """Put the new folder in place where only its rename is missing, else the old one back."""
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


def _flush_tree(folder: Path) -> None:
    for top, _, files in os.walk(folder):
        for name in files:
            _flush(Path(top, name))
        _flush(Path(top))


def _flush(path: Path) -> None:
    """Ask the disk to keep what was written; Windows has no such call for folders."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except CommitteeError:
        raise
    except OSError as error:
        if error.errno not in _DISK:
            raise
        raise StoreError(
            str(path), expected="a disk that takes the file", got=os.strerror(error.errno or 0),
            todo="What was stored before is intact: free or unlock the disk, then run it again.",
        ) from error  # fmt: skip

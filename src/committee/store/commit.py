"""All or nothing: a folder or file appears in the store complete and durable, or not at all."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from committee.errors import StoreError
from committee.store.disk import disk_errors
from committee.store.lock import LOCK
from committee.store.manifest import NAME, NEW, OLD, Manifest, list_files, plain, read_manifest


@contextlib.contextmanager
def commit(folder: Path, *, kind: str, fingerprint: str, **facts: Any) -> Iterator[Path]:
    """Write a folder of the store: yield a temporary one, and put it in place when the block ends.

    Parameters
    ----------
    folder : Path
        Where the result shall be. What is there already is replaced, once the new one is complete.
    kind : str
        What it is, for listings.
    fingerprint : str
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
    the new one. Between the two renames of a replacement neither is in place: readers wait for it, and
    `sweep` completes it when the writer was killed there.
    """
    new, old = _beside(folder)
    with disk_errors(folder):
        _make(folder.parent)
        new.mkdir()
    try:
        with disk_errors(folder, new):
            yield new
            record = Manifest(kind, fingerprint, list_files(new), facts)
            (new / NAME).write_text(json.dumps(record.to_json(), indent=1, default=plain), "utf-8")
            _flush_tree(new)
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
            _flush(folder.parent)
    except BaseException:
        _put_back(folder, new, old)
        raise
    shutil.rmtree(old, ignore_errors=True)


def remove(folder: Path) -> None:
    """Take a folder out of the store at once, if it is there: a stop on the way leaves all of it or none."""
    away, _ = _beside(folder)
    with disk_errors(folder), contextlib.suppress(FileNotFoundError):
        folder.rename(away)
    shutil.rmtree(away, ignore_errors=True)


@contextlib.contextmanager
def replacing(path: Path, needed: int = 0) -> Iterator[Path]:
    """Write one file atomically and durably: yield a temporary one, and rename it when the block ends.

    Parameters
    ----------
    path : Path
        The file; its folder is made. A pipe or a device is yielded as it is.
    needed : int
        Its size in bytes, where that is known, for the sentence about a full disk.

    Raises
    ------
    StoreError
        The disk is full, read-only or failing. What was there before is untouched, unless it was the last
        flush that failed: then the new file is there, whole.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}{NEW}")
    try:
        with disk_errors(path, temporary, needed):
            _make(path.parent)
            yield temporary
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def replacing_text(path: Path) -> Iterator[TextIO]:
    """Write a text file of the user's, atomically and durably; of a link, the file that it names.

    Raises what `replacing` does.
    """
    place = path.resolve() if path.is_file() else path
    with replacing(place) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield file


def write_file(path: Path, content: bytes) -> None:
    """Write one file atomically and durably; raises what `replacing` does."""
    with replacing(path, len(content)) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: object) -> None:
    """Write `value` as a JSON file, atomically and durably."""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=plain)
    write_file(path, (text + "\n").encode())


def sweep(root: Path) -> list[Path]:
    """Repair what a killed writer left under `root`; return the temporary paths that were dealt with.

    Only the holder of the store's lock may sweep: another writer's work would look like leavings.
    """
    left = []
    for top, folders, files in os.walk(root):
        # A store inside, as `debug` makes, has a holder of its own.
        folders[:] = [name for name in folders if not Path(top, name, LOCK).exists()]
        names = (name for name in (*folders, *files) if name.startswith("."))
        left += [Path(top, name) for name in names if name.endswith((NEW, OLD))]
    for path in sorted(left, key=lambda path: path.name.endswith(NEW)):
        if path.name.endswith(OLD):
            _finish_replacement(path)
        # What a reader still has open may stay (Windows); it is swept the next time.
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
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


def _beside(folder: Path) -> tuple[Path, Path]:
    """Return two free names beside a folder: for what shall be there, and for what was."""
    token = secrets.token_hex(4)
    new, old = (folder.with_name(f".{folder.name}.{token}{end}") for end in (NEW, OLD))
    return new, old


def _put_back(folder: Path, new: Path, old: Path) -> None:
    """Bring back what was there before; what a dying disk does not let us, `sweep` does later."""
    with contextlib.suppress(OSError):
        if not new.exists():  # It was in place already when the last flush failed.
            folder.rename(new)
        if old.exists():
            old.rename(folder)
    shutil.rmtree(new, ignore_errors=True)


def _make(folder: Path) -> None:
    """Make a folder and those above it, durably."""
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
    """Query the disk to keep what was written; Windows has no such call for folders."""
    if path.is_dir() and os.name == "nt":
        return
    # Windows flushes only what is open for writing; elsewhere a file may be read-only.
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

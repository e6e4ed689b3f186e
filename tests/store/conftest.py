"""A simulated file system that stops, loses power or fails at any call."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class Stopped(BaseException):
    """The process has ended: none of its later calls has an effect."""


CALLS = ("mkdir", "rename", "replace", "unlink", "remove", "rmdir", "fsync", "truncate", "open")


class Disk:
    """Counts calls to the file system; calls from `stop` on have no effect, and call `fail` raises.

    It knows what a power cut may take: the content of files, and the names in folders, that were not flushed.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.stop: int | None = None
        self.fail: int | None = None
        self.error = OSError()
        self.loose: set[int] = set()
        self.journal: list[tuple[str, Path, Path, bytes | None]] = []

    def count(self, name: str, place: object) -> None:
        self.calls.append(f"{name} {place}")
        here = len(self.calls) - 1
        if self.stop is not None and here >= self.stop:
            raise Stopped
        if here == self.fail:
            raise self.error

    def wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            self.count(name, path)
            is_new = name == "io" and not _exists(path)
            over = _content(args[0]) if name in ("rename", "replace") else None
            result = None if name == "fsync" else real(path, *args, **kwargs)
            self.note(name, path, args, result, is_new, over)
            return result

        return call

    def note(self, name: str, path: Any, args: Any, result: Any, is_new: bool, over: bytes | None) -> None:
        if name == "fsync":
            self.loose.discard(os.fstat(path).st_ino)
            folder = [place for kind, place in self.folders() if kind == os.fstat(path).st_ino]
            self.journal = [entry for entry in self.journal if entry[2].parent not in folder]
        elif name == "io" and (args and set(args[0]) & set("wxa+")):
            self.loose.add(os.fstat(result.fileno()).st_ino)
            if is_new:
                self.journal.append(("create", Path(path), Path(path), None))
        elif name in ("rename", "replace"):
            self.journal.append(("rename", Path(path), Path(args[0]), over))
        elif name == "mkdir":
            self.journal.append(("create", Path(path), Path(path), None))

    def folders(self) -> Iterator[tuple[int, Path]]:
        for parent in {entry[2].parent for entry in self.journal}:
            if parent.exists():
                yield parent.stat().st_ino, parent

    def cut_power(self, root: Path, kept: int = 0) -> None:
        """Drop what was not flushed: half of such files, and such names except the first `kept`."""
        for file in [path for path in root.rglob("*") if path.is_file()]:
            if file.stat().st_ino in self.loose:
                os.truncate(file, file.stat().st_size // 2)
        for kind, before, after, over in reversed(self.journal[kept:]):
            if kind == "rename":
                if after.exists() and not before.exists():
                    after.rename(before)
                if over is not None:
                    after.write_bytes(over)
            elif after.is_dir():
                for path in sorted(after.rglob("*"), reverse=True):
                    path.rmdir() if path.is_dir() else path.unlink()
                after.rmdir()
            else:
                after.unlink(missing_ok=True)
        self.journal.clear()


def _content(path: Any) -> bytes | None:
    return Path(path).read_bytes() if Path(path).is_file() else None


def _exists(path: Any) -> bool:
    return isinstance(path, str | Path) and Path(path).exists()


@contextmanager
def watched(**settings: Any) -> Iterator[Disk]:
    """Run the block on a disk with these settings; a stop ends the block."""
    disk = Disk()
    for name, value in settings.items():
        setattr(disk, name, value)
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, disk.wrap(name, getattr(os, name)))
        opened = disk.wrap("io", io.open)
        patch.setattr(io, "open", opened)
        patch.setattr(builtins, "open", opened)
        try:
            yield disk
        except Stopped:
            patch.undo()


@pytest.fixture(name="watched")
def _watched() -> Callable[..., Any]:
    return watched

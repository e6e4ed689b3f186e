"""The working store of a node: the parts of the driver's store that its fits read, brought once a node."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from committee.errors import StoreError
from committee.executors._ray_node import sampled
from committee.store.commit import replacing_folder
from committee.store.hashes import hash_file
from committee.store.layout import Store
from committee.store.lock import HeldError, hold
from committee.store.manifest import NAME, digest, read_manifest
from committee.store.mirrored import MirroredStore

POLL = 0.05
LOCKS, BROUGHT = ".locks", ".brought"
"""Folders of a mirror: locks of tasks, and the editions of stored folders that were brought."""


class Mirror:
    """A folder of this node that mirrors a store, and in which fits work.

    Each edition of a stored folder is brought once: what a fit of this node then writes in its place, such as
    the state of the next epoch, is newer, and stays.

    Parameters
    ----------
    root : Path
        The folder; other runs with the same store use it again.
    desk : actor
        Reads the store, see `Desk`.
    """

    def __init__(self, root: Path, desk: Any) -> None:
        self.root, self.desk = root, desk

    def store(self, place: str) -> Store:
        """Return the store in a folder of the mirror."""
        return MirroredStore(self.root / place, self.bring)

    def bring(self, path: Path) -> None:
        """Bring the stored folders at a path, or below it, unless they are here already."""
        place = path.relative_to(self.root).as_posix()
        for name, edition in self._ask("stored", place if place != "." else "").items():
            if not self._has(name, edition):
                with alone(self.root / LOCKS / digest(name)[:16]):
                    self._bring(name, edition)

    def file(self, place: str) -> Path:
        """Return the path of a file of the store: that of the driver, if this node has the same one there."""
        far, known = self._ask("described", place)
        with contextlib.suppress(OSError):
            if sampled(far) == known:
                return Path(far)
        path = self.root / place
        self.bring(path.parent)
        if not path.is_file():
            raise StoreError(
                far,
                expected="a file that all nodes see, or one in a folder of the store",
                got="one that only the driver sees",
                todo="Put it on a shared disk.",
            )
        return path

    def _has(self, name: str, edition: str) -> bool:
        """Return whether an edition of a folder, or what a fit of this node made of it, is here."""
        brought = self._brought(name)
        known = brought.read_text(encoding="utf-8") if brought.is_file() else None
        return known == edition and (self.root / name / NAME).is_file()

    def _bring(self, name: str, edition: str) -> None:
        """Bring an edition of a folder unless it is here, and note that it was."""
        if self._has(name, edition):
            return
        manifest = self.root / name / NAME
        if not manifest.is_file() or hash_file(manifest) != edition:
            self._fetch(name)
        brought = self._brought(name)
        brought.parent.mkdir(parents=True, exist_ok=True)
        brought.write_text(edition, encoding="utf-8")

    def _brought(self, name: str) -> Path:
        """Return the file with the edition of a folder that was brought last."""
        return self.root / BROUGHT / digest(name)[:16]

    def _fetch(self, name: str) -> None:
        with replacing_folder(self.root / name) as new:
            self._copy(f"{name}/{NAME}", new / NAME)
            for file in read_manifest(new, verify=False).files:
                self._copy(f"{name}/{file}", new / file)
            read_manifest(new)

    def _copy(self, place: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            while chunk := self._read(place, file.tell()):
                file.write(chunk)

    def _read(self, place: str, start: int) -> bytes:
        while (found := self._ask("read", place, start)) is None:
            time.sleep(POLL)
        return bytes(found)

    def _ask(self, what: str, *arguments: Any) -> Any:
        # While a task waits in `ray.get`, Ray gives its processor to another one, and starts a worker for it.
        return getattr(self.desk, what).remote(*arguments).future().result()


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process of this node is in a block of the same folder, and keep others out."""
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(hold(folder))
                break
            except HeldError:
                time.sleep(POLL)
        yield

"""The actor beside the driver: it reads the store for nodes, and passes their messages on."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any

from committee.executors._ray_node import sampled
from committee.store.hashes import hash_file
from committee.store.inside import inside
from committee.store.manifest import NAME

CHUNK = 8 * 2**20
THREADS = 8


class Desk:
    """Reads the store of a run, and passes on the messages of fits.

    It holds nothing that a node needs twice, so that Ray may start it again.

    Parameters
    ----------
    root : str
        Folder of the store: only files in it are read.
    """

    def __init__(self, root: str) -> None:
        self.root = Path(root)
        self.messages: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._sought = set[str]()
        self._fetched = set[str]()

    def stored(self, place: str) -> dict[str, str]:
        """Return the stored folders at or below a place, and the SHA-256 of the manifest of each."""
        top = inside(self.root, place) if place else self.root
        manifests = sorted(top.glob(f"**/{NAME}")) if top.is_dir() else []
        found = ((file, file.parent.relative_to(self.root)) for file in manifests)
        visible = ((file, each) for file, each in found if not any(part[0] == "." for part in each.parts))
        return {each.as_posix(): hash_file(file) for file, each in visible}

    def described(self, place: str) -> tuple[str, str]:
        """Return the path of a file and the digest of `sampled`."""
        path = inside(self.root, place)
        return str(path.absolute()), sampled(str(path))

    def read(self, place: str, start: int) -> bytes | None:
        """Return at most `CHUNK` bytes of a file, or None until the driver has fetched it.

        Of a store on object storage, this machine may lack files; the driver alone has its credentials.
        """
        path = inside(self.root, place)
        if place not in self._fetched and not path.is_file():
            if place not in self._sought:
                self._sought.add(place)
                self.send("missing", place)
            return None
        with path.open("rb") as file:
            file.seek(start)
            return file.read(CHUNK)

    def fetched(self, place: str) -> None:
        """Note that the driver has done what it can to fetch a file."""
        self._fetched.add(place)

    def send(self, kind: str, message: Any) -> None:
        """Take a message for the driver."""
        self.messages.put((kind, message))

    def take(self, seconds: float) -> list[tuple[str, Any]]:
        """Return all messages; wait some seconds for the first."""
        try:
            found = [self.messages.get(timeout=seconds)]
            while True:
                found.append(self.messages.get_nowait())
        except queue.Empty:
            return found if "found" in locals() else []

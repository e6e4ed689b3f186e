"""The working copy of a store on object storage: its small files, and others once they are read."""

from __future__ import annotations

import contextlib
import functools
import logging
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from committee.errors import StoreError
from committee.store import lock
from committee.store.disk import disk_errors, in_words
from committee.store.hashes import hash_file
from committee.store.inside import inside
from committee.store.manifest import NAME, read_manifest
from committee.store.remote.bucket import Bucket, open_bucket
from committee.store.remote.index import INDEX, Entry, Index
from committee.store.remote.state import STATE, State
from committee.store.remote.things import ON_DEMAND, marker

if TYPE_CHECKING:
    from committee.store.remote.writer import Writer

Item = TypeVar("Item")

log = logging.getLogger(__name__)

ROOT = "store"
"""Name of the folder of the copy, beside its state."""

PATIENCE = (0.05, 0.2, 0.5, 1.0)
"""Seconds between attempts to read a store that another machine changes."""

NOTABLE = 10**7
"""Bytes from which a download is a message."""

AT_ONCE, SMALL_AT_ONCE = 8, 32
"""Number of files that are transferred at once, and of manifests and single files, which are small."""


class WorkingCopy:
    """A folder that mirrors a store on object storage.

    Manifests and single files are downloaded when the store is opened; the other files of a folder when the
    folder is verified, which every reader does before it opens them.

    Parameters
    ----------
    folder : Path
        The folder of the copy and its state.
    address : str, optional
        The address; by default that of the state.
    bucket : Bucket, optional
        By default, the address is opened when it is needed.

    Attributes
    ----------
    root : Path
        The folder of the store.
    writer : Writer or None
        The writer of this process, if it writes to the store.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from obstore.store import MemoryStore
    >>> from committee.store.remote.bucket import Bucket
    >>> from committee.store.remote.working_copy import WorkingCopy
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     copy = WorkingCopy(Path(folder), "memory://a", Bucket("memory://a", MemoryStore()))
    ...     copy.refresh()
    ...     copy.root.exists()  # nothing is stored at this address
    False
    """

    def __init__(self, folder: Path, address: str = "", bucket: Bucket | None = None) -> None:
        self.folder, self.root = folder, folder / ROOT
        self.state = State(address)
        self._read_state()
        self.address = self.state.address
        if bucket is not None:
            self.bucket = bucket
        self.writer: Writer | None = None
        self._loading = threading.Lock()

    @functools.cached_property
    def bucket(self) -> Bucket:
        """The objects of the store."""
        return open_bucket(self.address)

    @property
    def name(self) -> str:
        """The name of this copy, which no copy of another machine has."""
        return f"{socket.gethostname()}/{self.state.name}"

    def refresh(self) -> None:
        """Bring the copy up to date, unless another process of this machine writes to it.

        Raises
        ------
        RemoteError
            The storage cannot be reached, or refuses a request.
        """
        if self.writer is None:
            with lock.exclusive(self.folder / "sync.lock"):
                if not lock.is_held(self.root):
                    self._read_state()
                    self.pull()

    def pull(self) -> None:
        """Compare the copy with the index, and download what has changed there."""
        for pause in (*PATIENCE, None):
            index, version = self._index()
            try:
                self._apply(index, version, is_last=pause is None or index == self.state.index)
                return
            except FileNotFoundError:  # a writer has replaced it since the index was read
                time.sleep(pause or 0)

    def restore(self, folder: Path, files: Mapping[str, Mapping[str, Any]]) -> bool:
        """Download the files of a folder that are missing or damaged; return whether all are there now.

        Parameters
        ----------
        folder : Path
            A folder of the copy with a manifest.
        files : mapping
            The size and SHA-256 of each file.

        Raises
        ------
        StoreError
            A file is damaged on the storage, too, or was replaced meanwhile.
        """
        path = self._path(folder)
        if self.writer is None:
            self._read_state()
        entry = self.state.index.entries.get(path)
        if entry is None or self.state.hash(path, folder / NAME) != entry.sha256:
            return False  # it was made here and is not uploaded, so the storage has no such files
        wanted = {name: facts for name, facts in files.items() if not _is_intact(inside(folder, name), facts)}
        size = sum(facts["size"] for facts in wanted.values())
        log.log(
            logging.INFO if size > NOTABLE else logging.DEBUG,
            "%s: downloading %s of %s",
            self.address,
            in_words(size),
            path,
        )
        try:
            self.transfer(wanted, lambda name: self._restore_file(folder, path, entry, name, wanted[name]))
        except FileNotFoundError as error:
            self.refresh()
            todo = "Try again; if it stays, run the command that made it again."
            raise StoreError(
                f"{self.address}/{path}: a file was removed while it was read", todo=todo
            ) from error
        return True

    def fetch(self, place: Path) -> None:
        """Download all that the copy lacks at a path and below it."""
        wanted = self._path(place)
        for path, entry in self.state.index.entries.items():
            if not (wanted in (".", path) or path.startswith(f"{wanted}/") or wanted.startswith(f"{path}/")):
                continue
            if entry.is_folder and (self.root / path / NAME).is_file():
                manifest = read_manifest(self.root / path, verify=False)
                if not all((self.root / path / name).is_file() for name in manifest.files):
                    self.restore(self.root / path, manifest.files)
            elif not entry.is_folder and self.local(path, entry) is None:
                self._fetch(path, entry, is_last=True)

    def _path(self, place: Path) -> str:
        """Return the path in the store of a path of the copy."""
        return place.absolute().relative_to(self.root).as_posix()

    def transfer(self, items: Iterable[Item], move: Callable[[Item], None], at_once: int = AT_ONCE) -> None:
        """Call `move` for each item, in several threads; raise the first error."""
        with ThreadPoolExecutor(at_once) as threads:
            for _ in threads.map(move, items):
                pass

    def local(self, path: str, entry: Entry) -> str | None:
        """Return the digest of a result in the copy; None if it is not there."""
        return self.state.hash(path, marker(self.root, path, entry.is_folder))

    def save(self) -> None:
        """Write the state."""
        with disk_errors(self.folder):
            self.state.save(self.folder / STATE)

    def _read_state(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.state = State.load(self.folder / STATE)

    def _index(self) -> tuple[Index, dict[str, Any]]:
        before = self.state
        found = self.bucket.read(INDEX, unless=before.version)
        if found is None:
            if before.index.entries:
                log.warning(
                    "%s: its index was removed; %s still has the results, which the next command that writes "
                    "uploads again",
                    self.address,
                    self.root,
                )
            self.state.index = Index()
            return Index(), {}
        if before.version and found.version == before.version:
            return before.index, before.version
        return Index.of(found.content, self.address), found.version

    def _apply(self, index: Index, version: dict[str, Any], is_last: bool) -> None:
        """Make the copy that of an index; what was changed here alone is kept, to be uploaded."""
        base, wanted = self.state.index.entries, {}
        for path, entry in index.entries.items():
            found, known = self.local(path, entry), base.get(path)
            if found == entry.sha256 or (found is None and path.startswith(ON_DEMAND)):
                continue
            if found is not None and (known is None or found != known.sha256):
                if known == entry:
                    continue
                self._set_aside(path)
            wanted[path] = entry
        with disk_errors(self.root):
            self.transfer(wanted.items(), lambda item: self._fetch(*item, is_last), SMALL_AT_ONCE)
            for path in base.keys() - index.entries.keys():
                if self.local(path, base[path]) == base[path].sha256:
                    self._discard(inside(self.root, path))
        if index != self.state.index or version != self.state.version or wanted:
            self.state.index, self.state.version = index, version
            self.save()

    def _fetch(self, path: str, entry: Entry, is_last: bool) -> None:
        """Download a single file, or the manifest of a folder."""
        place, new = inside(self.root, path), self._incoming()
        file = new / NAME if entry.is_folder else new
        key = f"{entry.key(path)}/{NAME}" if entry.is_folder else entry.key(path)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self.bucket.download(key, file, entry.size)
            if hash_file(file) == entry.sha256:
                place.parent.mkdir(parents=True, exist_ok=True)
                self._discard(place)
                new.rename(place)
                return
        except FileNotFoundError:
            if not is_last:
                raise
        finally:
            _delete(new)
        log.warning(
            "%s/%s is missing or damaged there and is left out: run the command that made it again",
            self.address,
            path,
        )
        self._discard(place)

    def _restore_file(
        self, folder: Path, path: str, entry: Entry, name: str, facts: Mapping[str, Any]
    ) -> None:
        new, place = self._incoming(), inside(folder, name)
        try:
            with disk_errors(place, new, facts["size"]):
                new.parent.mkdir(parents=True, exist_ok=True)
                self.bucket.download(f"{entry.key(path)}/{name}", new, facts["size"])
                if not _is_intact(new, facts):
                    todo = "Run the command that made it again."
                    expected = "the content that was stored"
                    raise StoreError(
                        f"{self.address}/{path}/{name}", expected=expected, got="other bytes", todo=todo
                    )
                place.parent.mkdir(parents=True, exist_ok=True)
                new.replace(place)
        finally:
            _delete(new)

    def _incoming(self) -> Path:
        """Return an unused path for a file that is downloaded; no sweep of the store looks there."""
        return self.folder / "incoming" / secrets.token_hex(8)

    def _discard(self, place: Path) -> None:
        """Remove a result from the copy in one step."""
        old = self._incoming()
        old.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            place.rename(old)
        _delete(old)

    def _set_aside(self, path: str) -> None:
        """Move a result that was changed here and on the storage out of the way."""
        aside = self.folder / "set_aside" / secrets.token_hex(4) / path
        aside.parent.mkdir(parents=True)
        inside(self.root, path).rename(aside)
        log.warning(
            "%s/%s was also changed by another machine: that one is used, and yours is now %s",
            self.address,
            path,
            aside,
        )


def _is_intact(file: Path, facts: Mapping[str, Any]) -> bool:
    return (
        file.is_file() and file.stat().st_size == facts["size"] and bool(hash_file(file) == facts["sha256"])
    )


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)

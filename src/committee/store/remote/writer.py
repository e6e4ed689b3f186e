"""Writing to a store on object storage: files first, under new keys, and the index last."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from committee.errors import StoreError
from committee.store.lock import HeldError, described
from committee.store.manifest import NAME, read_manifest
from committee.store.remote import lease as leases
from committee.store.remote.index import CONTENT, INDEX, Entry, Index
from committee.store.remote.refusals import RemoteError
from committee.store.remote.things import marker, things
from committee.store.remote.working_copy import WorkingCopy

log = logging.getLogger(__name__)

LAST = "tracking/"
"""Start of the paths of files that grow during a run, which are uploaded at its end."""


class Writer:
    """The writer of a working copy, from the lease to its release.

    The index is replaced on the condition that it is the one that this writer wrote last. So a writer whose
    lease was taken cannot change the store, whatever it still sends.

    Parameters
    ----------
    copy : WorkingCopy
        A copy whose local lock this process holds.

    See Also
    --------
    committee.store.remote.lease.Lease : The lease.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from obstore.store import MemoryStore
    >>> from committee.store.remote.bucket import Bucket
    >>> from committee.store.remote.working_copy import WorkingCopy
    >>> from committee.store.remote.writer import Writer
    >>> bucket = Bucket("memory://a", MemoryStore())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     copy = WorkingCopy(Path(folder), "memory://a", bucket)
    ...     with Writer(copy).running():
    ...         copy.root.mkdir()
    ...         _ = (copy.root / "a.json").write_text("1")
    >>> sorted(key.split("/")[-1] for key in bucket.keys(""))
    ['a.json', 'index.json', 'lock.json']
    """

    def __init__(self, copy: WorkingCopy) -> None:
        self.copy, self.bucket = copy, copy.bucket
        self.lease = leases.Lease(copy.bucket, copy.name)
        self._mutex = threading.RLock()
        self._stop = threading.Event()
        self._is_offline = self._has_rubbish = False
        self._present: set[str] = set()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Hold the lease while the block runs; then upload what it has left.

        Raises
        ------
        HeldError
            Another process holds the lease, or has taken it.
        RemoteError
            The storage cannot be reached, or refuses a request. What was written is in the working copy.
        """
        self.lease.acquire()
        try:
            self._start()
            beat = threading.Thread(target=self._beat, name="lease", daemon=True)
            beat.start()
            self.copy.writer = self
            try:
                yield
            except BaseException:
                self._end(beat)
                with self._logged():
                    self.publish(is_last=True)
                raise
            self._end(beat)
            self.publish(is_last=True)
        finally:
            with self._logged():
                self.lease.release()

    def publish(self, below: str | None = None, is_last: bool = False) -> None:
        """Upload what has changed, then replace the index.

        If the storage cannot be reached, the work continues: the next call uploads it.

        Parameters
        ----------
        below : str, optional
            Path of a result, or of a folder of results, that was written or removed; by default, what was
            written anywhere.
        is_last : bool
            Whether this is the end of the work: files that grow are uploaded, what is not there any more is
            removed, and a failure is an error.

        Raises
        ------
        HeldError
            Another process has taken the lease.
        RemoteError
            The last upload failed.
        """
        with self._mutex:
            if self._is_offline and not is_last:
                return
            try:
                self._publish(below, is_last)
            except RemoteError as error:
                kept = f"Results are kept in {self.copy.root}"
                if is_last:
                    todo = f"{kept}: run the same command again to upload them."
                    raise RemoteError(error.who, expected=error.expected, got=error.got, todo=todo) from error
                self._is_offline = True
                log.warning("%s %s and uploaded once it answers again.", error, kept)

    def _start(self) -> None:
        """Read the index, and write one that only this writer can replace."""
        state = self.copy.state
        for _ in range(5):
            self.copy.pull()
            state = self.copy.state
            before = state.index
            self._present = {path for path, entry in before.entries.items() if self.copy.local(path, entry)}
            with contextlib.suppress(HeldError):  # the writer before has committed once more
                self._replace_index(before.entries)
                break
        else:
            raise self._lost()
        self.copy.save()
        if before.writer:
            self._sweep()
        self.publish()

    def _beat(self) -> None:
        """Renew the lease, and upload what worker processes have committed."""
        while not self._stop.wait(self.lease.seconds / leases.RENEWALS):
            try:
                if not self.lease.lost:
                    self.lease.renew()
                    self._is_offline = False
                    self.publish()
            except StoreError as error:
                log.debug("%s", error)

    def _end(self, beat: threading.Thread) -> None:
        self._stop.set()
        beat.join()
        self.copy.writer = None

    @contextlib.contextmanager
    def _logged(self) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            log.error("%s", error)

    def _publish(self, below: str | None, is_last: bool) -> None:
        if self.lease.lost:
            raise self._lost()
        entries = dict(self.copy.state.index.entries)
        token = secrets.token_hex(8)
        files = things(self.copy.root, below)
        found = {path: file for path, file in files if is_last or not path.startswith(LAST)}
        changed = {path: new for path, file in found.items() if (new := self._changed(path, file, token))}
        gone = self._gone(found, below, is_last)
        done = {path: entry for path, entry in changed.items() if self._upload(path, entry)}
        if not done and not gone and not is_last:
            return
        old = {path: entries[path] for path in (*done, *gone) if path in entries}
        entries.update(done)
        for path in gone:
            del entries[path]
        try:
            self._replace_index(entries, is_last)
        except HeldError:
            self._delete(done)
            raise
        self._present |= done.keys()
        self._delete(old)
        self.copy.save()

    def _changed(self, path: str, file: Path, token: str) -> Entry | None:
        """Return the new entry of a result of the copy; None if the storage has it."""
        sha = self.copy.state.hash(path, file)
        known = self.copy.state.index.entries.get(path)
        self._present.add(path)
        is_folder = file.name == NAME and not path.endswith(f"/{NAME}")
        if sha is None or (known is not None and (known.sha256, known.is_folder) == (sha, is_folder)):
            return None
        return Entry(token, sha, self.copy.state.known[path][0], is_folder)

    def _gone(self, found: Iterable[str], below: str | None, is_last: bool) -> list[str]:
        """Return the paths that the index has and the copy has no more."""
        entries = self.copy.state.index.entries
        missing = entries.keys() - set(found)
        named = {path for path in missing if below and f"{path}/".startswith(f"{below}/")}
        named = {path for path in named if not marker(self.copy.root, path, entries[path].is_folder).exists()}
        return sorted(missing & self._present if is_last else named)

    def _upload(self, path: str, entry: Entry) -> bool:
        """Upload the files of a result; return False if it was replaced meanwhile, or is not complete."""
        place, key = self.copy.root / path, entry.key(path)
        is_whole = False
        try:
            if entry.is_folder:
                names = [*read_manifest(place, verify=False).files, NAME]
                self.copy.transfer(names, lambda name: self.bucket.upload(f"{key}/{name}", place / name))
            else:
                self.bucket.upload(key, place)
            is_whole = self.copy.local(path, entry) == entry.sha256
        except RemoteError:
            self._has_rubbish = True
            raise
        except (FileNotFoundError, StoreError) as error:
            log.debug("%s is not uploaded: %s", path, error)
        if not is_whole:
            self._delete({path: entry})
        return is_whole

    def _replace_index(self, entries: Mapping[str, Entry], is_last: bool = False) -> None:
        """Write the index, if it is the one that this writer read or wrote last."""
        state = self.copy.state
        writer = "" if is_last and not self._has_rubbish else self.lease.token
        index = Index(dict(entries), writer)
        content = index.to_bytes(secrets.token_hex(8))
        if state.version:
            version = self.bucket.replace(INDEX, content, state.version)
        else:
            version = self.bucket.create(INDEX, content)
        if version is None:  # an earlier attempt may have succeeded though its answer was lost
            found = self.bucket.read(INDEX)
            if found is None or found.content != content:
                raise self._lost()
            version = found.version
        state.index, state.version = index, version

    def _delete(self, entries: dict[str, Entry]) -> None:
        """Delete the files of entries that no index names any more."""
        try:
            for path, entry in entries.items():
                key = entry.key(path)
                self.bucket.delete(self.bucket.keys(f"{key}/") if entry.is_folder else [key])
        except RemoteError as error:
            log.debug("%s", error)
            self._has_rubbish = True

    def _sweep(self) -> None:
        """Delete files that a killed writer has uploaded and no index names."""
        entries = self.copy.state.index.entries
        named = {entry.key(path) for path, entry in entries.items()}
        left = [
            key
            for key in self.bucket.keys(f"{CONTENT}/")
            if key not in named and not any(up.as_posix() in named for up in Path(key).parents)
        ]
        self.bucket.delete(left)
        log.debug("%s: removed %d files that a killed writer has left", self.copy.address, len(left))

    def _lost(self) -> HeldError:
        found = self.lease.lost or described(leases.record_of(self.bucket.read(leases.LOCK)))
        return HeldError(
            self.copy.address,
            expected="the lease of this process",
            got=f"one that was taken by {found}",
            todo=f"Results since then are kept in {self.copy.root}: wait until that process ends, then run "
            "the same command again.",
        )

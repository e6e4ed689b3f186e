"""The lease of a store on object storage, which allows one writer and expires unless it is renewed."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Mapping
from typing import Any

from committee.store.lock import HeldError, described, holder
from committee.store.remote.bucket import Bucket, Object, Version
from committee.store.remote.refusals import no_conditions

log = logging.getLogger(__name__)

LOCK = "lock.json"
"""The key of the lease."""

SECONDS = 60.0
"""Time after which a lease that is not renewed may be taken."""

NO_VERSION = {"e_tag": '"00000000000000000000000000000000"', "version": "0"}
"""A version that no object has."""

RENEWALS = 4
"""Number of renewals in this time."""


class Lease:
    """A lease that is written with conditional requests.

    A clock is never compared with that of another machine: the lease of another writer has expired if the
    object has not changed for its number of seconds while this process watched it.

    Parameters
    ----------
    bucket : Bucket
    copy : str
        Name of the working copy, of which one process at a time is a writer: a lease that this copy has left
        behind has no holder any more.
    seconds : float
        Time after which the lease expires.

    Attributes
    ----------
    token : str
        Unique name of this lease.
    lost : str
        The process that has taken the lease; empty as long as it is held.

    Examples
    --------
    >>> from obstore.store import MemoryStore
    >>> from committee.store.remote.bucket import Bucket
    >>> from committee.store.remote.lease import Lease
    >>> bucket = Bucket("memory://", MemoryStore())
    >>> one, other = Lease(bucket, "copy 1"), Lease(bucket, "copy 2")
    >>> one.acquire()
    >>> one.release()
    >>> other.acquire()
    >>> one.renew()
    >>> bool(one.lost)
    True
    """

    def __init__(self, bucket: Bucket, copy: str, seconds: float | None = None) -> None:
        self.bucket, self.copy = bucket, copy
        self.seconds = SECONDS if seconds is None else seconds
        self.token, self.lost = secrets.token_hex(8), ""
        self._version: Version = {}
        self._renewals = 0

    def acquire(self) -> None:
        """Take the lease; wait until that of a killed writer expires.

        Raises
        ------
        HeldError
            Another process renews it; the message has its number, host, start time and command.
        RemoteError
            The storage cannot be reached, or has no conditional writes.
        """
        while True:
            found = self.bucket.read(LOCK)
            record = record_of(found)
            if found is not None and record.get("token") and record.get("copy") != self.copy:
                self._wait(found, record)
            version = self._write(self._held(), found.version if found else None)
            if version is not None:
                self._version = version
                self._probe()
                return

    def renew(self) -> None:
        """Extend the lease; set `lost` if another process has taken it."""
        self._renewals += 1
        version = self._write(self._held(), self._version)
        if version is None:
            self.lost = described(record_of(self.bucket.read(LOCK)))
        else:
            self._version = version

    def release(self) -> None:
        """Give the lease back, unless another process has taken it."""
        self._write({"edition": secrets.token_hex(8)}, self._version)

    def _held(self) -> dict[str, Any]:
        # The number makes each record unique: an ETag is a digest of the content.
        mine = {"token": self.token, "copy": self.copy, "seconds": self.seconds, "renewals": self._renewals}
        return {**mine, **holder()}

    def _write(self, record: Mapping[str, Any], expected: Version | None) -> Version | None:
        content = json.dumps(record).encode()
        if expected is None:
            version = self.bucket.create(LOCK, content)
        else:
            version = self.bucket.replace(LOCK, content, expected)
        if version is not None:
            return version
        # A repeated request, whose first answer was lost, finds what it wrote itself.
        found = self.bucket.read(LOCK)
        return found.version if found is not None and found.content == content else None

    def _wait(self, found: Object, record: Mapping[str, Any]) -> None:
        """Return once the lease of another writer has not changed for its number of seconds."""
        seconds = _seconds(record)
        log.info(
            "%s: waiting up to %.0f s to see whether %s still writes",
            self.bucket.address,
            seconds,
            described(record),
        )
        start = time.monotonic()
        while (left := start + seconds - time.monotonic()) > 0:
            time.sleep(min(left, max(0.05, seconds / 20)))
            now = self.bucket.read(LOCK)
            if now is None or not record_of(now).get("token"):
                return
            if now.content != found.content:
                raise HeldError(
                    self.bucket.address,
                    expected="no other process that writes to it",
                    got=described(record_of(now)),
                    todo="Wait until it ends, or name another store with --store.",
                )

    def _probe(self) -> None:
        """Raise RemoteError if the storage ignores conditions: then it would let two writers in."""
        record = json.dumps(self._held()).encode()
        ignored = self.bucket.create(LOCK, record) is not None
        ignored = ignored or self.bucket.replace(LOCK, record, NO_VERSION) is not None
        if ignored:
            self.bucket.delete([LOCK])
            raise no_conditions(self.bucket.address, "storage that ignores them")


def record_of(found: Object | None) -> dict[str, Any]:
    try:
        record = json.loads(found.content) if found is not None else {}
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _seconds(record: Mapping[str, Any]) -> float:
    """Return the seconds of a lease, which a stranger may have written."""
    seconds = record.get("seconds")
    return min(float(seconds), 600.0) if isinstance(seconds, int | float) and seconds > 0 else SECONDS

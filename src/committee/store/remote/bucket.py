"""Requests to object storage, and their errors as sentences."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.store.remote.client import kind_of, open_client
from committee.store.remote.refusals import (
    CREDENTIALS,
    is_absent_bucket,
    no_bucket,
    no_conditions,
    refusal,
)

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PART = 32 * 2**20
"""Bytes of a file that are downloaded by one request."""

Version = dict[str, Any]
"""What identifies one version of an object: `e_tag` and `version`."""


@dataclass(frozen=True)
class Object:
    """The content of an object, and its version."""

    content: bytes
    version: Version


class Bucket:
    """The objects below one address.

    Parameters
    ----------
    address : str
        The address, for messages.
    store : obstore.store.ObjectStore
        The client.

    See Also
    --------
    open_bucket : Open an address.

    Examples
    --------
    >>> from obstore.store import MemoryStore
    >>> from committee.store.remote.bucket import Bucket
    >>> bucket = Bucket("memory://", MemoryStore())
    >>> first = bucket.create("a", b"1")
    >>> bucket.create("a", b"2") is None, bucket.replace("a", b"2", first) is None
    (True, False)
    >>> bucket.read("a").content
    b'2'
    """

    def __init__(self, address: str, store: ObjectStore, kind: str = "s3") -> None:
        self.address, self.store, self.kind = address, store, kind

    def read(self, key: str, unless: Version | None = None) -> Object | None:
        """Return an object, without its content if it is the version `unless`; None if it does not exist."""
        from obstore.exceptions import NotModifiedError

        options: Any = {"if_none_match": unless["e_tag"]} if unless else None
        try:
            with self._errors():
                import obstore

                found = obstore.get(self.store, key, options=options)
                meta = found.meta
                version = {"e_tag": meta.get("e_tag"), "version": meta.get("version")}
                return Object(bytes(found.bytes()), version)
        except NotModifiedError:
            return Object(b"", dict(unless or {}))
        except FileNotFoundError:
            return None

    def create(self, key: str, content: bytes) -> Version | None:
        """Write a new object and return its version; None if there is one already."""
        return self._put(key, content, "create")

    def replace(self, key: str, content: bytes, version: Version) -> Version | None:
        """Write an object and return its version; None if it is not the expected version any more."""
        return self._put(key, content, {name: each for name, each in version.items() if each is not None})

    def upload(self, key: str, file: Path) -> None:
        """Write a file to an object; large files are sent in parts."""
        import obstore

        with self._errors():
            obstore.put(self.store, key, file)

    def download(self, key: str, file: Path, size: int) -> None:
        """Write an object of `size` bytes to a file.

        Raises
        ------
        FileNotFoundError
            The object does not exist.
        """
        import obstore

        with file.open("wb") as target, self._errors():
            if size <= PART:
                target.write(obstore.get(self.store, key).bytes())
                return
            for start in range(0, size, PART):
                end = min(start + PART, size)
                target.write(obstore.get_range(self.store, key, start=start, end=end))

    def keys(self, prefix: str) -> list[str]:
        """Return the keys below a prefix."""
        import obstore

        with self._errors():
            return [each["path"] for chunk in obstore.list(self.store, prefix) for each in chunk]

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that do not exist are ignored."""
        import obstore

        if keys:
            with self._errors(), contextlib.suppress(FileNotFoundError):
                obstore.delete(self.store, list(keys))

    def _put(self, key: str, content: bytes, mode: Any) -> Version | None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            with self._errors():
                result = obstore.put(self.store, key, content, mode=mode)
        except (AlreadyExistsError, PreconditionError):
            return None
        return {"e_tag": result["e_tag"], "version": result["version"]}

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn errors of requests into sentences; conditions that do not hold are no errors."""
        from obstore import exceptions

        conditions = (
            exceptions.NotModifiedError,
            exceptions.AlreadyExistsError,
            exceptions.PreconditionError,
        )
        try:
            yield
        except conditions:
            raise
        except FileNotFoundError as error:
            if is_absent_bucket(error):
                raise no_bucket(self.address) from error
            raise
        except (exceptions.BaseError, PermissionError, TimeoutError, NotImplementedError) as error:
            raise refusal(self.address, self.kind, error) from error


def open_bucket(address: str) -> Bucket:
    """Open an address; no request is sent.

    Raises
    ------
    DependencyError
        obstore is not installed.
    RemoteError
        The storage has no conditional writes, or there are no credentials.
    UsageError
        The scheme is unknown.
    """
    kind = kind_of(address)
    if kind not in CREDENTIALS:
        raise no_conditions(address, f"storage without them, or of this process alone ({kind})")
    return Bucket(address, open_client(address), kind)

"""Requests to object storage, and their errors as sentences."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.errors import StoreError, UsageError, require
from committee.store.remote.address import ENDPOINTS

if TYPE_CHECKING:
    from obstore.store import ObjectStore

RETRY = timedelta(seconds=60)
"""Time for which a request is repeated if the network or the server fails."""

PART = 32 * 2**20
"""Bytes of a file that are downloaded by one request."""

CREDENTIALS = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or install boto3 and set AWS_PROFILE",
    "gcs": "Set GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account",
    "azure": "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""What to do without credentials, by the kind of the storage: those that have conditional writes."""

_UNKNOWN_USER = re.compile(
    r"169\.254\.169\.254|metadata\.google|credential|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken"
    r"|InvalidToken|401 Unauthorized",
    re.IGNORECASE,
)
_FORBIDDEN = re.compile(r"403 Forbidden|AccessDenied")
_UNSUPPORTED = re.compile(r"501 Not Implemented|<Code>NotImplemented")

Version = dict[str, Any]
"""What identifies one version of an object: `e_tag` and `version`."""


class RemoteError(StoreError):
    """Object storage cannot be reached, or refuses a request."""


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
            if "NoSuchBucket" in str(error) or "ContainerNotFound" in str(error):
                raise self._no_bucket() from error
            raise
        except (exceptions.BaseError, PermissionError, TimeoutError, NotImplementedError) as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> RemoteError:
        text, reason = str(error), _reason(error)
        if "NoSuchBucket" in text:
            return self._no_bucket()
        if _UNSUPPORTED.search(text) or isinstance(error, NotImplementedError):
            return no_conditions(self.address, reason)
        if _UNKNOWN_USER.search(text):
            todo = f"{CREDENTIALS[self.kind]}, then run the same command again."
            return RemoteError(self.address, expected="valid credentials", got=reason, todo=todo)
        if _FORBIDDEN.search(text) or isinstance(error, PermissionError):
            expected = "the permission to list, read, write and delete"
            todo = "Allow that for these credentials, or name another store with --store."
            return RemoteError(self.address, expected=expected, got=reason, todo=todo)
        todo = "Check the network and the address of the server, then run the same command again."
        return RemoteError(f"{self.address}: cannot be reached ({reason})", todo=todo)

    def _no_bucket(self) -> RemoteError:
        todo = "Create it, or correct the address."
        return RemoteError(self.address, expected="a bucket that exists", got="none of this name", todo=todo)


def no_conditions(address: str, reason: str) -> RemoteError:
    """Return the error for storage without conditional writes."""
    return RemoteError(
        address,
        expected="storage with conditional writes (If-None-Match and If-Match)",
        got=reason,
        todo="Name a bucket of a service that has them, such as Amazon S3, Google Cloud Storage, Azure, "
        "Cloudflare R2 or MinIO, or a local store.",
    )


def open_bucket(address: str) -> Bucket:
    """Open an address; no request is sent.

    Raises
    ------
    DependencyError
        obstore is not installed.
    RemoteError
        The storage has no conditional writes.
    UsageError
        The scheme is unknown.
    """
    try:
        import obstore
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError as error:
        raise require("obstore", "cloud", address) from error
    try:
        # The client has one store in memory without a name.
        kind = str(obstore.parse_scheme("memory:///" if address.startswith("memory:") else address))
    except BaseError as error:
        raise UsageError(
            address,
            expected="the address of object storage, such as s3://bucket/prefix, gs:// or az://",
            got=f"the scheme '{address.partition(':')[0]}'",
            todo="Copy the files to such storage, or name a folder with --store.",
        ) from error
    if kind not in CREDENTIALS:
        raise no_conditions(address, f"storage without them, or of this process alone ({kind})")
    options = {"timeout": "300s", "connect_timeout": "10s", "allow_http": _is_plain_http()}
    provider = _boto3_credentials() if kind == "s3" else None
    named: dict[str, Any] = {} if provider is None else {"credential_provider": provider}
    try:
        client: Any = from_url(
            address, client_options=options, retry_config={"retry_timeout": RETRY, "max_retries": 10}, **named
        )
    except BaseError as error:
        raise RemoteError(f"{address}: cannot be opened ({_reason(error)})") from error
    return Bucket(address, client, kind)


def _is_plain_http() -> bool:
    """Return whether the environment names a server without encryption, such as one of this machine."""
    return any(os.environ.get(name, "").startswith("http://") for name in ENDPOINTS)


def _boto3_credentials() -> Any:
    """Return the credentials of the profile or role that boto3 finds; None for those of the environment."""
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return None
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return Boto3CredentialProvider()
    except (ImportError, ValueError):  # not installed, or no credentials
        return None
    except Exception as error:  # a profile that does not exist, of a package that need not be installed
        raise UsageError("AWS_PROFILE", got=str(error), todo=f"{CREDENTIALS['s3']}.") from error


def _reason(error: Exception) -> str:
    """Return the code and message of the server, or the first line of an error."""
    text = str(error)
    code, message = (re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL) for tag in ("Code", "Message"))
    if code:
        return f"{code[1]}: {message[1].rstrip('.')}" if message else code[1]
    if "169.254.169.254" in text:
        return "none"
    line = text.partition("\n")[0].strip()
    return re.sub(r"^Generic \w+ error: ", "", line)[:300] or type(error).__name__

"""Files behind a URL, such as `s3://bucket/folder`: they are listed, read and written through fsspec."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from committee.errors import CommitteeError, DataError, StorageError, missing, printable, require
from committee.images.decode import SUFFIXES
from committee.store.remote.address import PROTOCOLS
from committee.store.remote.refusals import READING, is_forbidden, reason_of, refusal

_URL = re.compile(r"[a-z][a-z0-9+.-]+://.", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file behind a URL, with what says whether it has changed.

    Parameters
    ----------
    url : str
        Such as `s3://bucket/folder/a.jpg`.
    size : int
        Bytes.
    version : str
        The entity tag of the storage, or the time of the last change.

    See Also
    --------
    find_remote : Find the images in a folder.

    Examples
    --------
    >>> import fsspec
    >>> from committee.images.remote import RemoteFile
    >>> fsspec.filesystem("memory").pipe_file("/photos/a.png", b"pixels")
    >>> RemoteFile("memory://photos/a.png", 6, "").read_bytes()
    b'pixels'
    """

    url: str
    size: int = 0
    version: str = ""

    def as_posix(self) -> str:
        """Return the URL."""
        return self.url

    def read_bytes(self) -> bytes:
        """Return the content.

        Raises
        ------
        FileNotFoundError, PermissionError
            There is no such file, or it may not be read.
        StorageError
            The storage cannot be reached, or refuses the credentials.
        """
        files = filesystem(self.url)
        try:
            content: bytes = files.cat_file(files._strip_protocol(self.url))
        except Exception as error:
            if (kind := _own_kind(error)) is not None:
                raise kind(2, reason_of(error), self.url) from error
            raise storage_error(self.url, error) from error
        return content


def is_url(text: object) -> bool:
    """Return whether a path is a URL, such as `s3://bucket/folder`.

    Examples
    --------
    >>> from committee.images.remote import is_url
    >>> is_url("s3://bucket/folder"), is_url("folder"), is_url("C:/folder")
    (True, False, False)
    """
    return isinstance(text, str) and _URL.match(text) is not None


def filesystem(url: str) -> Any:
    """Return the fsspec file system of a URL.

    Raises
    ------
    DependencyError
        A package is not installed.
    DataError
        No file system has this protocol.
    """
    return _of_protocol(url.partition("://")[0].lower())


@cache
def _of_protocol(protocol: str) -> Any:
    try:
        import fsspec

        from committee.store.remote.files import ObjectFiles
    except ImportError:
        raise require("fsspec", "cloud", f"files at {protocol}://") from None
    try:
        return ObjectFiles(protocol) if protocol in ObjectFiles.protocol else fsspec.filesystem(protocol)
    except ImportError as error:
        raise require(error.name or str(error), "cloud", f"files at {protocol}://") from error
    except ValueError as error:
        raise DataError(
            f"{protocol}://",
            expected=f"one of {', '.join(ObjectFiles.protocol)}, or a protocol of fsspec",
            got=str(error),
        ) from error


def find_remote(url: str) -> tuple[list[RemoteFile], int]:
    """Return the images of a folder and below, or a single file, and the number of other files.

    Images are known by their suffix: to look into all other files would be a request for each. Hidden files
    and folders are left out, as on a disk.

    Raises
    ------
    DataError
        There is no such file or folder.
    StorageError
        The storage cannot be listed.
    """
    files, found, others = filesystem(url), list[RemoteFile](), 0
    protocol, rest = url.split("://", 1)
    url = f"{protocol.lower()}://{rest}"  # file systems know no other case
    protocol, path = protocol.lower(), files._strip_protocol(url)
    files.invalidate_cache()
    try:
        base = path.rstrip("/")
        is_bucket = _kind(url) is not None and "/" not in base
        if not (is_bucket or url.endswith("/")) and (entry := files.info(path))["type"] == "file":
            return [_remote(url, entry)], 0
        for entry in _walk(files, base):
            name = entry["name"].removeprefix(base).strip("/")
            if any(part.startswith(".") for part in name.split("/")):
                continue
            if name.lower().endswith(SUFFIXES):
                found.append(_remote(f"{protocol}://{entry['name'].lstrip('/')}", entry))
            else:
                others += entry.get("size", 0) > 0  # others are marks of folders
    except FileNotFoundError:
        raise missing(DataError, url, what="file or folder") from None
    except Exception as error:
        raise storage_error(url, error) from error
    return sorted(found, key=RemoteFile.as_posix), others


def _walk(files: Any, path: str) -> Iterator[dict[str, Any]]:
    """Yield the entries of all files below a folder, one folder after the other."""
    for _, _, entries in files.walk(path, detail=True, on_error="raise"):
        yield from entries.values()


def _remote(url: str, entry: dict[str, Any]) -> RemoteFile:
    known = (entry.get(name) for name in ("e_tag", "ETag", "etag", "version", "mtime", "last_modified"))
    version = next((each for each in known if each is not None), entry.get("created", ""))
    return RemoteFile(url, int(entry.get("size") or 0), str(version).strip('"'))


def storage_error(url: str, error: Exception, needs: str = READING) -> Exception:
    """Return the error for a storage that refuses an operation, or does not answer.

    Parameters
    ----------
    url : str
    error : Exception
        What its file system raised.
    needs : str
        What the credentials must allow.
    """
    if isinstance(error, CommitteeError):
        return error
    if (kind := _kind(url)) is not None:
        return refusal(url, kind, error, needs)
    return StorageError(
        printable(url),
        expected="a storage that can be read",
        got=reason_of(error),
        todo="Check the URL, the network, and the permissions.",
    )


def _kind(url: str) -> str | None:
    """Return the kind of the object storage of a URL, or None for another file system."""
    protocol = url.partition("://")[0].lower()
    return next((kind for kind, names in PROTOCOLS.items() if protocol in names), None)


def _own_kind(error: Exception) -> type[OSError] | None:
    """Return the class of an error that concerns a single file, and not the storage."""
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError
    return PermissionError if is_forbidden(error) else None

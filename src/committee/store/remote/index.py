"""The index of a store on object storage: which objects are its content now."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from committee.errors import ProtocolError, StoreError
from committee.store.inside import inside

INDEX = "index.json"
"""The key of the index. A result is in the store when the index names it."""

CONTENT = "content"
"""Prefix of the keys of all files."""

PROTOCOL = 1
_TOKEN = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True)
class Entry:
    """A folder with a manifest, or a single file.

    Parameters
    ----------
    token : str
        Name of the transaction that wrote it, which is a part of its key: no key is written twice.
    sha256 : str
        Digest of the file, or of the manifest of the folder, which has the digests of its files.
    size : int
        Size in bytes of what has this digest.
    is_folder : bool
    """

    token: str
    sha256: str
    size: int
    is_folder: bool

    def key(self, path: str) -> str:
        """Return the key of a file, or the prefix of the keys of a folder, from its path in the store."""
        place = PurePosixPath(path)
        return (CONTENT / place.parent / self.token / place.name).as_posix()


@dataclass(frozen=True)
class Index:
    """All entries of a store, by path.

    Parameters
    ----------
    entries : mapping of str to Entry
    writer : str
        Token of the command that writes now, or that was killed; empty if the last one has ended.

    Examples
    --------
    >>> from committee.store.remote.index import Entry, Index
    >>> entry = Entry("0123456789abcdef", "00", 2, is_folder=False)
    >>> entry.key("metrics/run.json")
    'content/metrics/0123456789abcdef/run.json'
    >>> index = Index({"metrics/run.json": entry})
    >>> Index.of(index.to_bytes("1"), "s3://bucket") == index
    True
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)
    writer: str = ""

    def to_bytes(self, edition: str) -> bytes:
        """Return the index as JSON; `edition` makes the content, and so its ETag, unique."""
        rows = {
            path: [each.token, each.sha256, each.size, each.is_folder] for path, each in self.entries.items()
        }
        record = {"protocol": PROTOCOL, "edition": edition, "writer": self.writer, "entries": rows}
        return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def of(cls, content: bytes, address: str) -> Index:
        """Read an index.

        Raises
        ------
        StoreError
            The content is no index, or a path leads out of the store.
        ProtocolError
            It was written by another version.
        """
        who = f"{address}/{INDEX}"
        try:
            record = json.loads(content)
            protocol, writer = record["protocol"], str(record["writer"])
            entries = {path: Entry(*row) for path, row in record["entries"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise _damaged(who) from None
        if protocol != PROTOCOL:
            todo = "Install the version of committee that wrote it, or name another store with --store."
            got = f"protocol {protocol!r} of another version of committee"
            raise ProtocolError(who, expected=f"an index of protocol {PROTOCOL}", got=got, todo=todo)
        if not all(_is_valid(path, each) for path, each in entries.items()):
            raise _damaged(who)
        return cls(entries, writer)


def _is_valid(path: str, entry: Entry) -> bool:
    try:
        inside(Path(), path)
    except StoreError:
        return False
    return (
        isinstance(entry.token, str)
        and bool(_TOKEN.fullmatch(entry.token))
        and isinstance(entry.sha256, str)
        and isinstance(entry.size, int)
        and isinstance(entry.is_folder, bool)
        and not any(part.startswith(".") for part in PurePosixPath(path).parts)
    )


def _damaged(who: str) -> StoreError:
    todo = "Restore an earlier version of this object, or name another store with --store."
    return StoreError(who, expected="the index of a store", got="other content", todo=todo)

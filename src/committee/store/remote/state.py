"""What a working copy knows of its store: the index as it was read or written last."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from committee.errors import StoreError
from committee.store.hashes import hash_file
from committee.store.remote.bucket import Version
from committee.store.remote.index import Index

STATE = "remote.json"
"""Name of the file beside the folder of the copy."""


@dataclass
class State:
    """The content of `remote.json`.

    Parameters
    ----------
    address : str
        The address of the store.
    name : str
        Name of the working copy, unique on this machine.
    index : Index
        The index that the copy was compared with last.
    version : dict
        The version of the index; empty if there is none.
    known : dict
        Size, time of modification and SHA-256 of files, by path: an unchanged file is hashed once.
    """

    address: str
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    index: Index = field(default_factory=Index)
    version: Version = field(default_factory=dict)
    known: dict[str, list[Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, file: Path) -> State:
        """Read a state.

        Raises
        ------
        StoreError
            The file is damaged.
        OSError
            The file cannot be read.
        """
        try:
            record = json.loads(file.read_text("utf-8"))
            index = Index.of(record["index"].encode(), record["address"])
            return cls(record["address"], record["name"], index, record["version"], record["known"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                str(file),
                expected="the state of a working copy",
                got="other content",
                todo="Move the results beside it that you need to another place, then remove its folder.",
            ) from error

    def save(self, file: Path) -> None:
        """Write the state, so that a reader finds the old or the new content."""
        record = {
            "address": self.address,
            "name": self.name,
            "version": self.version,
            "index": self.index.to_bytes("").decode(),
            "known": self.known,
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
        temporary.write_text(json.dumps(record, separators=(",", ":")), "utf-8")
        temporary.replace(file)

    def hash(self, path: str, file: Path) -> str | None:
        """Return the SHA-256 of a file of the copy; None if it does not exist."""
        try:
            found = file.stat()
            known = self.known.get(path)
            if known is None or known[:2] != [found.st_size, found.st_mtime_ns]:
                known = [found.st_size, found.st_mtime_ns, hash_file(file)]
                self.known[path] = known
        except (FileNotFoundError, NotADirectoryError):
            self.known.pop(path, None)
            return None
        return str(known[2])

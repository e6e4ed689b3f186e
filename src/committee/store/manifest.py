"""The manifest of a stored thing: what made it, and the SHA-256 of each of its files."""

from __future__ import annotations

import glob
import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from committee.errors import CommitteeError, ProtocolError, StoreError
from committee.store.inside import inside, is_link, outside
from committee.untrusted.documents import read_json

Loaded = TypeVar("Loaded")

PROTOCOL = 2
"""Number of the layout of stored files and of what the code makes; raised when either changes its meaning."""

NAME = "manifest.json"
NEW, OLD = ".new~", ".old~"
"""Endings of the folders and files that a writer works on, `.<name>.<token><ending>`."""

PATIENCE = (0.002, 0.02, 0.1, 0.3, 0.6)
"""Seconds that a reader waits, again and again, for a folder that is being replaced."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` holds.

    Parameters
    ----------
    kind : str
        What the folder is: `checkpoint`, `kfold`, `ensemble`, `metrics`, ...
    fingerprint : str
        Digest of all that made it: inputs, settings, protocol. Equal means done.
    files : dict
        `{"sha256", "size"}` of each file, by its path inside the folder (`/` between parts).
    facts : dict
        Plain JSON values that listings show without opening the files.
    """

    kind: str
    fingerprint: str
    files: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)
    protocol: int = PROTOCOL

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as JSON values, with a digest of itself."""
        body = {
            "protocol": self.protocol,
            "kind": self.kind,
            "fingerprint": self.fingerprint,
            "files": dict(self.files),
            "facts": dict(self.facts),
        }
        return {**body, "digest": digest(body)}


def canonical(value: object) -> str:
    """Return `value` as JSON text that does not depend on the order of keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=plain)


def plain(value: object) -> object:
    """Turn the numbers, paths and arrays that settings may hold into JSON values."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def digest(value: object) -> str:
    """Return the SHA-256 of `value` written as canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of each file under `folder`, but for the manifest itself."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"sha256": hash_file(path), "size": path.stat().st_size}
        for path in paths
        if path != folder / NAME
    }


def read_manifest(folder: Path, *, verify: bool = True) -> Manifest:
    """Read the manifest of a stored folder, and check its files against it.

    A folder that a writer replaces meanwhile is waited for, a second at most.

    Parameters
    ----------
    folder : Path
        A folder that `commit` made.
    verify : bool
        Whether to hash the files. Without, only the manifest itself is checked.

    Raises
    ------
    StoreError
        There is no manifest, or it or a file is damaged: the sentence names which.
    """
    for pause in PATIENCE:
        before = _edition(folder)
        try:
            return _read(folder, verify)
        except StoreError:
            if before == _edition(folder) and (before or not _is_being_replaced(folder)):
                raise
        time.sleep(pause)
    return _read(folder, verify)


def read_whole(folder: Path, load: Callable[[Path], Loaded]) -> Loaded:
    """Return `load(folder)` for a stored folder that is whole; again, if it was replaced meanwhile.

    Raises
    ------
    StoreError
        As `read_manifest`; and what `load` raises. Or it was replaced each time.
    """
    for pause in PATIENCE:
        manifest = read_manifest(folder)
        try:
            loaded = load(folder)
        except (CommitteeError, OSError):
            if manifest == read_manifest(folder, verify=False):
                raise
        else:
            if manifest == read_manifest(folder, verify=False):
                return loaded
        time.sleep(pause)
    raise StoreError(
        str(folder),
        expected="a folder that stays as it is while it is read",
        got="one that is replaced again and again",
        todo="Wait for the run that writes, and run it again.",
    )


def _read(folder: Path, verify: bool) -> Manifest:
    if is_link(folder):
        raise outside(folder.parent, folder.name)
    manifest = _parse(inside(folder, NAME))
    if verify:
        for name, expected in manifest.files.items():
            _check_file(folder, name, expected)
    return manifest


def _edition(folder: Path) -> tuple[int, int] | None:
    """Return what tells a folder's manifest from the one that replaces it; None where there is none."""
    try:
        found = (folder / NAME).stat()
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_mtime_ns


def _is_being_replaced(folder: Path) -> bool:
    return any(folder.parent.glob(f".{glob.escape(folder.name)}.*{OLD}"))


def _parse(path: Path) -> Manifest:
    redo = "Remove its folder and run the command that made it again."
    if not path.exists():
        raise StoreError(str(path), expected="a manifest", got="none", todo=redo)
    record = read_json(path, "an intact manifest", redo)
    _check_protocol(path, record)
    try:
        claimed = record.pop("digest")
        manifest = Manifest(**record)
        intact = claimed == digest(record) and _is_typed(manifest)
    except (ValueError, TypeError, KeyError, RecursionError):
        intact = False
    if not intact:
        raise StoreError(str(path), expected="an intact manifest", got="a damaged one", todo=redo)
    return manifest


def _check_protocol(path: Path, record: Any) -> None:
    """Refuse a manifest of another version of the store's format."""
    protocol = record.get("protocol") if isinstance(record, dict) else None
    if not isinstance(protocol, int) or isinstance(protocol, bool) or protocol == PROTOCOL:
        return
    age = "an older" if protocol < PROTOCOL else "a newer"
    raise ProtocolError(
        str(path),
        expected=f"a store of protocol {PROTOCOL}",
        got=f"protocol {protocol}, which {age} committee wrote",
        todo="Name a new folder with --store, or install that version of committee to read this one.",
    )


def _is_typed(manifest: Manifest) -> bool:
    """Tell whether the values are of the types that they are declared with."""
    texts = all(isinstance(text, str) for text in (manifest.kind, manifest.fingerprint))
    tables = all(isinstance(table, dict) for table in (manifest.files, manifest.facts))
    return (
        texts
        and tables
        and isinstance(manifest.protocol, int)
        and all(
            isinstance(each, dict)
            and isinstance(each.get("sha256"), str)
            and isinstance(each.get("size"), int)
            for each in manifest.files.values()
        )
    )


def _check_file(folder: Path, name: str, expected: Mapping[str, Any]) -> None:
    path = inside(folder, name)
    redo = "Run the command that made it again."
    try:
        if not path.is_file():
            raise StoreError(str(path), expected="a file that the manifest names", got="none", todo=redo)
        size = path.stat().st_size
        if size != expected["size"]:
            raise StoreError(str(path), expected=f"{expected['size']} bytes", got=f"{size} bytes", todo=redo)
        if hash_file(path) != expected["sha256"]:
            raise StoreError(str(path), expected="the content that was stored", got="other bytes", todo=redo)
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            str(path), expected="a file that can be read", got=error.strerror or str(error), todo=redo
        ) from error


def is_done(folder: Path, fingerprint: str) -> bool:
    """Tell whether `folder` holds, undamaged, what `fingerprint` makes.

    A damaged folder, or one made from something else, is named in the log and counts as not done.
    """
    if not (folder / NAME).exists():
        return False
    try:
        manifest = read_manifest(folder)
    except ProtocolError:
        raise
    except StoreError as error:
        log.warning("%s", error)
        return False
    if manifest.fingerprint != fingerprint:
        log.warning("%s was made from other settings or data: it is made again", folder)
        return False
    return True

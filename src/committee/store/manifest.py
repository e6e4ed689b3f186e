"""Manifests of stored folders: a digest of the settings and inputs, and the SHA-256 of each file."""

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

from committee.errors import CommitteeError, ProtocolError, StoreError, missing, unreadable
from committee.store import copies
from committee.store.hashes import hash_file
from committee.store.inside import inside, is_link, outside
from committee.untrusted.documents import read_json

Loaded = TypeVar("Loaded")

PROTOCOL = 2
"""Version of the store format; incremented when the meaning of stored files changes."""

NAME = "manifest.json"
NEW, OLD = ".new~", ".old~"
"""Endings of temporary folders and files, `.<name>.<token><ending>`."""

PATIENCE = (0.002, 0.02, 0.1, 0.3, 0.6)
"""Seconds that a reader waits between attempts to read a folder that is being replaced."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`.

    Parameters
    ----------
    kind : str
        Kind of the folder: `checkpoint`, `kfold`, `ensemble`, `metrics` and others.
    fingerprint : str
        Digest of inputs, settings and protocol. A folder with an equal fingerprint is up to date.
    files : dict
        `{"sha256", "size"}` of each file, by its path in the folder (with `/`).
    facts : dict
        JSON values that listings show without opening the files.
    protocol : int
        Version of the store format.

    See Also
    --------
    read_manifest : Read and verify a manifest.
    committee.store.commit.commit : Write a folder with its manifest.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from committee.store.commit import commit
    >>> from committee.store.manifest import read_manifest
    >>> with tempfile.TemporaryDirectory() as root:
    ...     folder = Path(root, "results")
    ...     with commit(folder, kind="example", fingerprint="0") as temporary:
    ...         _ = (temporary / "a.txt").write_text("a")
    ...     manifest = read_manifest(folder)
    >>> manifest.kind, list(manifest.files)
    ('example', ['a.txt'])
    """

    kind: str
    fingerprint: str
    files: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)
    protocol: int = PROTOCOL

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as JSON values, with a digest of its content."""
        body = {
            "protocol": self.protocol,
            "kind": self.kind,
            "fingerprint": self.fingerprint,
            "files": dict(self.files),
            "facts": dict(self.facts),
        }
        return {**body, "digest": digest(body)}


def canonical(value: object) -> str:
    """Return `value` as JSON text that is independent of the order of keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=plain)


def plain(value: object) -> object:
    """Convert NumPy values, paths and sets to JSON values."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} cannot be converted to JSON")


def digest(value: object) -> str:
    """Return the SHA-256 of `value` written as canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of each file below `folder`, except for the manifest itself."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {"sha256": hash_file(path), "size": path.stat().st_size}
        for path in paths
        if path != folder / NAME
    }


def read_manifest(folder: Path, *, verify: bool = True) -> Manifest:
    """Read the manifest of a stored folder and verify its files.

    If a writer is replacing the folder, wait for it, for about a second at most.

    Parameters
    ----------
    folder : Path
        A folder that `commit` wrote.
    verify : bool
        Whether to hash the files (see `hashes.hash_file`). If false, only the manifest itself is verified.
        Files of a store on object storage that are not here yet are downloaded before they are hashed.

    Raises
    ------
    StoreError
        There is no manifest, or the manifest or a file is damaged; the message names it.
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
    """Return `load(folder)` for an intact folder; load again if it was replaced while it was read.

    Raises
    ------
    StoreError
        The folder is damaged (see `read_manifest`), or it was replaced in each attempt.
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
        expected="a folder that does not change while it is read",
        got="one that is replaced repeatedly",
        todo="Wait for the command that writes to the store, then try again.",
    )


def _read(folder: Path, verify: bool) -> Manifest:
    if is_link(folder):
        raise outside(folder.parent, folder.name)
    manifest = _parse(inside(folder, NAME))
    if verify:
        try:
            _check_files(folder, manifest)
        except StoreError:
            if not copies.restore(folder, manifest.files):
                raise
            _check_files(folder, manifest)
    return manifest


def _check_files(folder: Path, manifest: Manifest) -> None:
    for name, expected in manifest.files.items():
        _check_file(folder, name, expected)


def _edition(folder: Path) -> tuple[int, int] | None:
    """Return an identifier of a folder's manifest file, which changes with it; None if there is none."""
    try:
        found = (folder / NAME).stat()
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_mtime_ns


def _is_being_replaced(folder: Path) -> bool:
    return any(folder.parent.glob(f".{glob.escape(folder.name)}.*{OLD}"))


def _parse(path: Path) -> Manifest:
    redo = "Remove its folder and run the command that made it again."
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
    """Raise ProtocolError for a manifest of another version of the store format."""
    protocol = record.get("protocol") if isinstance(record, dict) else None
    if not isinstance(protocol, int) or isinstance(protocol, bool) or protocol == PROTOCOL:
        return
    age = "an older" if protocol < PROTOCOL else "a newer"
    raise ProtocolError(
        str(path),
        expected=f"a store of protocol {PROTOCOL}",
        got=f"protocol {protocol} of {age} version of committee",
        todo="Name a new folder with --store, or install that version to read this one.",
    )


def _is_typed(manifest: Manifest) -> bool:
    """Return whether all values have their declared types."""
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
            raise missing(StoreError, path, redo)
        size = path.stat().st_size
        if size != expected["size"]:
            raise StoreError(str(path), expected=f"{expected['size']} bytes", got=f"{size} bytes", todo=redo)
        if hash_file(path) != expected["sha256"]:
            raise StoreError(str(path), expected="the content that was stored", got="other bytes", todo=redo)
    except StoreError:
        raise
    except OSError as error:
        raise unreadable(StoreError, path, error, redo) from error


def is_done(folder: Path, fingerprint: str) -> bool:
    """Return whether `folder` is intact and has this fingerprint.

    A warning names a folder that is damaged or has another fingerprint.
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
        log.warning("%s was made with other settings or data and is made again", folder)
        return False
    return True

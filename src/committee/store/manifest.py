"""The manifest of a stored thing: what made it, and the SHA-256 of each of its files."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from committee.errors import StoreError

PROTOCOL = 1
"""Number of the layout of stored files and of what the code makes; raised when either changes its meaning."""

NAME = "manifest.json"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` holds.

    Parameters
    ----------
    kind : str
        What the folder is: `checkpoint`, `kfold`, `ensemble`, `metrics`, ...
    made_from : str
        Digest of all that made it: inputs, settings, protocol. Equal means done.
    files : dict
        `{"sha256", "size"}` of each file, by its path inside the folder (`/` between parts).
    facts : dict
        Plain JSON values that listings show without opening the files.
    """

    kind: str
    made_from: str
    files: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)
    protocol: int = PROTOCOL

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as JSON values, with a digest of itself."""
        body = {"protocol": self.protocol, "kind": self.kind, "made_from": self.made_from,
                "files": dict(self.files), "facts": dict(self.facts)}  # fmt: skip
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
    manifest = _parse(folder / NAME)
    if verify:
        for name, expected in manifest.files.items():
            _check_file(folder, name, expected)
    return manifest


def _parse(path: Path) -> Manifest:
    redo = "Remove its folder and run the command that made it again."
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        claimed = record.pop("digest")
        manifest = Manifest(**record)
        intact = claimed == digest(record) and isinstance(manifest.files, dict)
    except FileNotFoundError:
        raise StoreError(str(path), expected="a manifest", got="none", todo=redo) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        intact = False
    if not intact:
        raise StoreError(str(path), expected="an intact manifest", got="a damaged one", todo=redo)
    if manifest.protocol > PROTOCOL:
        raise StoreError(
            str(path), expected=f"protocol {PROTOCOL} or older", got=f"{manifest.protocol}",
            todo="Install the newer committee that wrote it.",
        )  # fmt: skip
    return manifest


def _check_file(folder: Path, name: str, expected: Mapping[str, Any]) -> None:
    path = inside(folder, name)
    redo = "Run the command that made it again."
    if not path.is_file():
        raise StoreError(str(path), expected="a file that the manifest names", got="none", todo=redo)
    size = path.stat().st_size
    if size != expected["size"]:
        raise StoreError(str(path), expected=f"{expected['size']} bytes", got=f"{size} bytes", todo=redo)
    if hash_file(path) != expected["sha256"]:
        raise StoreError(str(path), expected="the content that was stored", got="other bytes", todo=redo)


def inside(folder: Path, name: str) -> Path:
    """Return `folder / name`, refusing a name that would lead outside the folder.

    Raises
    ------
    StoreError
        The name is absolute, has `..`, or goes through a link.
    """
    parts = PurePosixPath(name).parts
    odd = not parts or ".." in parts or PurePosixPath(name).is_absolute() or "\\" in name or "\0" in name
    path = folder
    if not odd and not PureWindowsPath(name).anchor:
        for part in parts:
            path = path / part
            odd = odd or path.is_symlink()
    if odd or PureWindowsPath(name).anchor:
        raise StoreError(
            f"{folder / NAME}", expected="files inside its own folder", got=f"{name!r}",
            todo="Remove the folder: it was not made by committee.",
        )  # fmt: skip
    return path


def is_done(folder: Path, made_from: str) -> bool:
    """Tell whether `folder` holds, undamaged, what `made_from` makes.

    A damaged folder, or one made from something else, is named in the log and counts as not done.
    """
    if not (folder / NAME).exists():
        return False
    try:
        manifest = read_manifest(folder)
    except StoreError as error:
        log.warning("%s", error)
        return False
    if manifest.made_from != made_from:
        log.warning("%s was made from other settings or data: it is made again", folder)
        return False
    return True

"""Opening of a bundle from an unknown source: its names and its checksums are verified first."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from committee.errors import StoreError, UsageError, first_five, missing, printable, unreadable
from committee.exporters.base import open_exported
from committee.store.copies import fetch
from committee.store.hashes import hash_file
from committee.store.inside import is_link
from committee.untrusted.archives import unpack

if TYPE_CHECKING:
    from committee.models.predictor import Predictor

SUMS = "SHA256SUMS"
REDO = "Make the bundle again with: committee bundle NAME"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


@dataclass(frozen=True)
class Bundle:
    """A bundle that was written or verified.

    Attributes
    ----------
    name : str
        Full name of the model.
    path : Path
        The folder or the zip file.
    files : mapping of str to int
        Size in bytes of each file in the bundle, unpacked.

    See Also
    --------
    check : Verifies one.
    committee.pipeline.bundle.bundle : Writes one.

    Examples
    --------
    >>> from pathlib import Path
    >>> from committee.pipeline.bundling.reading import Bundle
    >>> Bundle("vote", Path("vote.zip"), {"predict.py": 4000}).files
    {'predict.py': 4000}
    """

    name: str
    path: Path
    files: Mapping[str, int]


def is_bundle(path: Path) -> bool:
    """Return whether a path is a folder with the checksums of a bundle, or a zip file, by its name alone."""
    return (path / SUMS).is_file() if path.is_dir() else path.suffix.lower() == ".zip"


@contextmanager
def verified(path: Path) -> Iterator[Path]:
    """Yield the folder of a bundle, unpacked from a zip file if need be, after all of its files are verified.

    Raises
    ------
    UsageError
        The path does not exist, or is no bundle.
    StoreError
        A file was altered, is missing, is a link, or is not listed; or the zip file is damaged or unsafe.
    """
    fetch(path)
    if not path.exists():
        raise missing(UsageError, path)
    if not is_bundle(path):
        got = "another folder" if path.is_dir() else "another file"
        raise UsageError(str(path), expected="a bundle: a folder with SHA256SUMS, or a .zip file", got=got)
    if path.is_dir():
        _check(path, path)
        yield path
        return
    # On Windows, a file that a model has mapped cannot be removed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        unpack(path, Path(temporary))
        tops = sorted(Path(temporary).iterdir())
        if len(tops) != 1 or not (tops[0] / SUMS).is_file():
            raise StoreError(str(path), expected=f"one folder with {SUMS}", got="another content", todo=REDO)
        _check(tops[0], path)
        yield tops[0]


def open_bundle(path: Path, device: str = "cpu") -> Predictor:
    """Open the model of a bundle, a folder or a zip file, for prediction; errors are those of `verified`."""
    with verified(path) as folder:
        return open_exported(model_file(folder, path), device)


def check(path: Path) -> Bundle:
    """Verify the checksums of a bundle, a folder or a zip file, and open its model.

    Raises
    ------
    UsageError
        The path does not exist, or is no bundle.
    StoreError
        A file was altered, is missing, is a link, or is not listed; or the zip file is damaged or unsafe.

    See Also
    --------
    committee.pipeline.bundle.bundle : Write a bundle.
    """
    with verified(path) as folder:
        name = open_exported(model_file(folder, path)).name
        return Bundle(name, path, {each: (folder / each).stat().st_size for each in sorted(files_in(folder))})


def model_file(folder: Path, who: Path) -> Path:
    """Return the ONNX file in the folder of a bundle; errors name `who`."""
    found = sorted(folder.glob("triton/*/1/model.onnx"))
    if len(found) != 1:
        got = "none" if not found else f"{len(found)} models"
        raise StoreError(str(who), expected="one model, triton/NAME/1/model.onnx", got=got, todo=REDO)
    return found[0]


def listed(folder: Path) -> set[str]:
    """Return the names in the checksums of a bundle."""
    return set(_sums(folder, folder))


def files_in(folder: Path) -> set[str]:
    """Return all files below a folder, and links to folders, by their path in it."""
    found = set()
    for top, folders, names in os.walk(folder):
        links = [name for name in folders if is_link(Path(top, name))]
        found |= {Path(top, name).relative_to(folder).as_posix() for name in (*names, *links)}
    return found


def _check(folder: Path, who: Path) -> None:
    """Raise StoreError unless a folder has exactly the files of its checksums; errors name `who`."""
    sums, found = _sums(folder, who), files_in(folder) - {SUMS}
    for name in sorted(found | set(sums)):
        path = f"{who}/{name}"
        if name not in found:
            raise missing(StoreError, path, REDO)
        if name not in sums:
            todo = "Remove the file, or make the bundle again with: committee bundle NAME"
            raise StoreError(path, expected=f"a file that {SUMS} lists", got="another", todo=todo)
        if is_link(folder / name):
            raise StoreError(path, expected="a file", got="a link", todo=REDO)
        try:
            altered = hash_file(folder / name) != sums[name]
        except OSError as error:
            raise unreadable(StoreError, path, error, REDO) from error
        if altered:
            raise StoreError(path, expected=f"the content that {SUMS} lists", got="other bytes", todo=REDO)


def _sums(folder: Path, who: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that the checksums of a bundle list."""
    path = f"{who}/{SUMS}"
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(path, expected="a list of checksums", got="a damaged one", todo=REDO) from error
    found = [_LINE.fullmatch(line) for line in lines]
    if not found or not all(found):
        wrong = next((line for line, match in zip(lines, found, strict=True) if not match), "nothing")
        got = first_five([printable(wrong[:80])])
        raise StoreError(path, expected="lines of a SHA-256 and a name", got=got, todo=REDO)
    return {match[2]: match[1] for match in found if match}

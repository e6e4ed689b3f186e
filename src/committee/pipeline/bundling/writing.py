"""Writing of a bundle as a folder or a zip file: complete or not at all, with the same bytes each time."""

from __future__ import annotations

import filecmp
import hashlib
import io
import shutil
import zipfile
from pathlib import Path
from typing import IO

from committee.errors import UsageError, first_five
from committee.pipeline.bundling.reading import SUMS, files_in, listed
from committee.pipeline.bundling.subject import Content
from committee.store.commit import replacing, replacing_folder, sweep_beside
from committee.store.hashes import hash_file

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of all entries of a zip file, the earliest that the format has."""


def write(content: Content, path: Path, name: str, *, force: bool = False) -> dict[str, int]:
    """Write the files of a bundle and their checksums to a folder, or to a zip file if `path` ends in `.zip`.

    Parameters
    ----------
    content : mapping
        Path in the bundle -> bytes, or the file to copy.
    path : Path
        The folder or zip file. What exists is left as it is if it has the same content.
    name : str
        Name of the folder in the zip file.
    force : bool
        Whether to replace a bundle with other content.

    Returns
    -------
    dict of str to int
        The size in bytes of each file, unpacked.

    Raises
    ------
    UsageError
        `path` exists with other content; or it is a folder with files that are no part of a bundle, which is
        never replaced.
    StoreError
        The disk is full, read-only or failing. What existed is not changed.
    """
    sums = "".join(f"{_sha256(source)}  {each}\n" for each, source in sorted(content.items())).encode()
    everything: Content = {**content, SUMS: sums}
    sweep_beside(path)
    if path.suffix.lower() == ".zip":
        _write_zip(everything, path, name, force)
    else:
        _write_folder(everything, path, force)
    return {each: _size(source) for each, source in sorted(everything.items())}


def _write_zip(content: Content, path: Path, name: str, force: bool) -> None:
    with replacing(path) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for each, source in sorted(content.items()):
                _add(archive, f"{name}/{each}", source)
        if path.is_file() and not force and not filecmp.cmp(temporary, path, shallow=False):
            raise _other_content(path)


def _add(archive: zipfile.ZipFile, name: str, source: bytes | Path) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system, entry.external_attr = 3, 0o100644 << 16  # the same on all systems: a plain file
    entry.file_size = _size(source)
    with archive.open(entry, "w") as target, _opened(source) as file:
        shutil.copyfileobj(file, target)


def _write_folder(content: Content, path: Path, force: bool) -> None:
    if path.exists() and _is_up_to_date(content, path):
        return
    _check_replaceable(path, force)
    with replacing_folder(path) as new:
        for each, source in sorted(content.items()):
            target = new / each
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as copy, _opened(source) as file:
                shutil.copyfileobj(file, copy)


def _is_up_to_date(content: Content, path: Path) -> bool:
    """Return whether a folder has these files, and no others."""
    return (
        path.is_dir()
        and files_in(path) == set(content)
        and all(hash_file(path / each) == _sha256(source) for each, source in content.items())
    )


def _check_replaceable(path: Path, force: bool) -> None:
    """Raise UsageError for a path that is neither free, nor an empty folder, nor a bundle to be replaced."""
    if not path.exists():
        return
    if not path.is_dir():
        raise UsageError(str(path), expected="a folder, or a file that ends in .zip", got="another file")
    found = files_in(path)
    foreign = found - listed(path) - {SUMS} if (path / SUMS).is_file() else found
    if foreign:
        raise UsageError(
            str(path),
            expected="a bundle or an empty folder",
            got=first_five(sorted(foreign)),
            todo="Name another folder with --out.",
        )
    if found and not force:
        raise _other_content(path)


def _other_content(path: Path) -> UsageError:
    return UsageError(
        f"{path}: a bundle with other content exists", todo="Name another path, or replace it with --force."
    )


def _opened(source: bytes | Path) -> IO[bytes]:
    return source.open("rb") if isinstance(source, Path) else io.BytesIO(source)


def _sha256(source: bytes | Path) -> str:
    return hash_file(source) if isinstance(source, Path) else hashlib.sha256(source).hexdigest()


def _size(source: bytes | Path) -> int:
    return source.stat().st_size if isinstance(source, Path) else len(source)

"""Safe joining of a folder and a file name from a stored file, which must not lead outside the folder."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from committee.errors import StoreError


def inside(folder: Path, name: str) -> Path:
    """Return `folder / name`.

    Raises
    ------
    StoreError
        The name leads outside the folder: it is absolute, contains `..`, a drive or a stream of Windows, or
        passes through a link.
    """
    parts = PurePosixPath(name).parts
    odd = not parts or ".." in parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor
    # On Windows a colon separates a drive, or a hidden stream of a file.
    if odd or any(sign in name for sign in "\\:\0"):
        raise outside(folder, name)
    path = folder
    for part in parts:
        path = path / part
        if is_link(path):
            raise outside(folder, name)
    return path


def is_link(path: Path) -> bool:
    """Return whether a path is a symbolic link, or a junction of Windows."""
    junction = getattr(os.path, "isjunction", None)  # Python 3.12
    return path.is_symlink() or (junction is not None and bool(junction(path)))


def outside(folder: Path, name: str) -> StoreError:
    """Return the error for a name that leads outside `folder`."""
    return StoreError(
        str(folder),
        expected="names of files in this folder",
        got=f"{name!r}",
        todo="Remove the folder: it was not made by committee.",
    )

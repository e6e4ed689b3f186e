"""No name that a stored file gives leads outside its folder: not by `..`, a drive, a link or a stream."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from committee.errors import StoreError


def inside(folder: Path, name: str) -> Path:
    """Return `folder / name`, refusing a name that would lead outside the folder.

    Raises
    ------
    StoreError
        The name is absolute, has `..`, or goes through a link.
    """
    parts = PurePosixPath(name).parts
    odd = not parts or ".." in parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor
    # A colon names a drive, or a hidden stream of a file, on Windows.
    if odd or any(sign in name for sign in "\\:\0"):
        raise outside(folder, name)
    path = folder
    for part in parts:
        path = path / part
        if is_link(path):
            raise outside(folder, name)
    return path


def is_link(path: Path) -> bool:
    """Tell whether a path is a symbolic link, or a junction of Windows."""
    junction = getattr(os.path, "isjunction", None)  # Python 3.12
    return path.is_symlink() or (junction is not None and bool(junction(path)))


def outside(folder: Path, name: str) -> StoreError:
    """Return the error for a name that leads outside `folder`."""
    return StoreError(
        str(folder),
        expected="files inside its own folder",
        got=f"{name!r}",
        todo="Remove the folder: it was not made by committee.",
    )

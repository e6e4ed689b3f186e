"""The results in a working copy, one by one: folders with a manifest, and single files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from committee.store.inside import inside
from committee.store.manifest import NAME

LOCAL = ("cache", "debug_tmp")
"""Folders of a store that are never uploaded: each machine makes them again when it needs them."""

ON_DEMAND = "bundles/"
"""Start of the paths of single files that are downloaded when their folder is used: they may be large."""


def is_local(path: Path, root: Path) -> bool:
    """Return whether a path below `root` is in a folder that is not uploaded."""
    return path.relative_to(root).parts[:1] in [(name,) for name in LOCAL]


def things(root: Path, below: str | None = None) -> Iterator[tuple[str, Path]]:
    """Return the path of each result in the store, and the file that identifies its content.

    That is the manifest of a folder, and the file itself of a single file. Hidden files and folders, such as
    the temporary ones of a commit, are left out, and so are links.

    Parameters
    ----------
    root : Path
        The folder of the working copy.
    below : str, optional
        Path of a result, or of a folder of results, to which the answer is restricted.
    """
    start = root / (below or "")
    inner = next(
        (each for each in start.parents if each.is_relative_to(root) and (each / NAME).is_file()), start
    )
    start = start if inner == root else inner
    if start.is_file():
        yield start.relative_to(root).as_posix(), start
    for top, folders, files in os.walk(start):
        here = Path(top)
        relative = here.relative_to(root)
        if NAME in files and here != root:
            folders.clear()
            yield relative.as_posix(), here / NAME
            continue
        folders[:] = sorted(
            name for name in folders if name[0] != "." and not (here == root and name in LOCAL)
        )
        for name in sorted(files):
            if name[0] != "." and not (here / name).is_symlink():
                yield (relative / name).as_posix(), here / name


def marker(root: Path, path: str, is_folder: bool) -> Path:
    """Return the file that identifies the content of a result."""
    return inside(root, f"{path}/{NAME}" if is_folder else path)

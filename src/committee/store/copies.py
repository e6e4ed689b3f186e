"""Which folders are working copies of stores on object storage: commits and readers ask here."""

from __future__ import annotations

import contextlib
import logging
import os.path
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.store import lock

if TYPE_CHECKING:
    from committee.store.remote.working_copy import WorkingCopy

log = logging.getLogger(__name__)

# Beside the folder `store` of a working copy is its state. Other folders need no import of the client.
_ROOT, _STATE = "store", "remote.json"
_open: dict[Path, WorkingCopy] = {}


def open_store(root: str | Path, cache: str | Path | None = None) -> Path:
    """Return the folder of a store: that of its working copy, brought up to date, for an address.

    Parameters
    ----------
    root : str or Path
        A folder, which may begin with `~`, or an address such as `s3://bucket/prefix`.
    cache : str or Path, optional
        The folder of all working copies; by default `$COMMITTEE_STORE_CACHE`, or `~/.cache/committee/stores`.

    Raises
    ------
    UsageError
        The address is not valid.
    DependencyError
        The client of object storage is not installed.
    StoreError
        The storage cannot be reached, refuses a request, or has no conditional writes.
    """
    from committee.store.remote.address import copy_folder, is_address, local_path, normalized

    if not is_address(root):
        # A shell does not expand `--store=~/cells`, nor a recipe. `Path` would refuse an unknown user.
        return Path(os.path.expanduser(root))  # noqa: PTH111
    address = normalized(root)
    if (path := local_path(address)) is not None:
        return path
    from committee.store.remote.working_copy import WorkingCopy

    folder = copy_folder(address, cache)
    copy = _open.setdefault(folder / _ROOT, WorkingCopy(folder, address))
    copy.refresh()
    return copy.root


def refresh(root: Path) -> None:
    """Bring a folder up to date if it is a working copy."""
    copy = copy_of(root)
    if copy is not None and copy.root == root.absolute():
        copy.refresh()


def address_of(root: Path) -> str:
    """Return the address of a store for messages: that of its working copy, or the path of a local folder."""
    copy = copy_of(root)
    if copy is None:
        return str(root)
    return "/".join((copy.address, *root.absolute().relative_to(copy.root).parts))


def copy_of(path: Path) -> WorkingCopy | None:
    """Return the working copy that uploads what is written to a path; None for other paths."""
    path = path.absolute()
    for root in (path, *path.parents):
        if root in _open or (root.name == _ROOT and (root.parent / _STATE).is_file()):
            from committee.store.remote.things import is_local
            from committee.store.remote.working_copy import WorkingCopy

            if root not in _open:
                _open[root] = WorkingCopy(root.parent)
            return None if is_local(path, root) else _open[root]
    return None


def restore(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> bool:
    """Download the missing and damaged files of a stored folder; return False if that is not possible."""
    copy = copy_of(folder)
    return copy is not None and copy.restore(folder, files)


def fetch(place: Path) -> None:
    """Download what a working copy lacks at a path: before other code than ours reads the files there."""
    copy = copy_of(place)
    if copy is not None:
        copy.fetch(place)


def publish(path: Path) -> None:
    """Upload a result that was written or removed.

    A process that does not hold the store takes its lease for a moment; if another process of this machine
    holds it, that one uploads the result.
    """
    copy = copy_of(path)
    if copy is None:
        return
    relative = path.absolute().relative_to(copy.root)
    if any(part.startswith(".") for part in relative.parts):
        return  # a part of a result
    if copy.writer is not None:
        copy.writer.publish(relative.as_posix())
    elif not lock.is_held(copy.root):
        try:
            with held(copy.root):
                pass
        except lock.HeldError as error:
            log.warning("%s Until then, %s is only in %s.", error, relative.as_posix(), copy.root)


@contextlib.contextmanager
def held(root: Path) -> Iterator[None]:
    """Hold the lease of a store on object storage while the block runs; nothing for other folders."""
    copy = copy_of(root)
    if copy is None or copy.writer is not None:
        yield
        return
    from committee.store.remote.writer import Writer

    with lock.hold(copy.root), Writer(copy).running():
        yield

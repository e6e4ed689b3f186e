"""Stored state of an unfinished fit, from which an interrupted run continues with the same bytes.

The state is stored after each epoch, and within an epoch when a signal asks the run to end. The state of the
epoch before is kept beside it, in case the newest one is damaged.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from committee.errors import StoreError
from committee.store import tensors
from committee.store.commit import PASSING, commit
from committee.store.manifest import Manifest, is_done, read_manifest
from committee.training.fit.journal import CSV_NAME, write_csv

log = logging.getLogger(__name__)


class InMemory:
    """Place of the state of a fit that ends with its process: it serves the return after a divergence.

    Attributes
    ----------
    state : dict or None
        A copy of the state of the last completed epoch.
    """

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None

    def keep(self, state: Mapping[str, Any]) -> None:
        """Replace the state by a copy, unless it is one within an epoch."""
        if state["batch"] == 0:
            self.state = _copied(state)

    def restore(self) -> dict[str, Any] | None:
        """Return a copy of the state, or None if no epoch was completed."""
        found: dict[str, Any] | None = _copied(self.state)
        return found


def _copied(value: Any) -> Any:
    """Return a copy of nested dicts and lists; tensors that are views get memory of their own."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def keep(folder: Path | InMemory, fingerprint: str, state: Mapping[str, Any], columns: Sequence[str]) -> None:
    """Replace the stored state of a fit; the state of the last completed epoch becomes the previous one.

    Parameters
    ----------
    folder : Path or InMemory
        `Store.resume(member, fold)`.
    fingerprint : str
        Digest of everything that decides the result of the fit.
    state : mapping
        Nested tensors and plain values. `history` has a row for each completed epoch, which is also written
        as CSV; `batch` is the number of completed batches of the next epoch, 0 between epochs.
    columns : sequence of str
        Columns of the CSV file.
    """
    if isinstance(folder, InMemory):
        folder.keep(state)
        return
    if _is_between_epochs(folder, fingerprint):
        shutil.rmtree(previous(folder), ignore_errors=True)
        folder.rename(previous(folder))
    facts = {"epoch": len(state["history"]), "batch": state["batch"]}
    with commit(folder, kind=PASSING, fingerprint=fingerprint, **facts) as new:
        tensors.save(state, new)
        write_csv(new / CSV_NAME, state["history"], columns)


def restore(folder: Path | InMemory, fingerprint: str, *, whole: bool = False) -> dict[str, Any] | None:
    """Return the newest undamaged state of a fit, or None if there is none.

    Damaged states, and a state with other settings or data, are named in the log.

    Parameters
    ----------
    folder, fingerprint
        As given to `keep`.
    whole : bool
        Whether to skip a state within an epoch.
    """
    if isinstance(folder, InMemory):
        return folder.restore()
    warned = False
    for place in (folder, previous(folder)):
        if _is_foreign(place, fingerprint):
            if not warned:
                fit = f"{folder.parent.name}/{folder.stem}"
                log.warning("%s: its stored state was made with other settings or data and is not used", fit)
            warned = True
        elif is_done(place, fingerprint) and (not whole or _is_between_epochs(place, fingerprint)):
            if place != folder:
                # The newest state is damaged or not wanted: it must not become the previous one.
                shutil.rmtree(folder, ignore_errors=True)
            return dict(tensors.load(place))
    return None


def forget(folder: Path) -> None:
    """Remove the stored states of a fit."""
    for place in (folder, previous(folder)):
        shutil.rmtree(place, ignore_errors=True)


def previous(folder: Path) -> Path:
    """Return the folder of the previous state: `fold_0.previous.resume` beside `fold_0.resume`."""
    return folder.with_name(f"{folder.stem}.previous{folder.suffix}")


def _is_between_epochs(folder: Path, fingerprint: str) -> bool:
    """Return whether a folder has a state of this fit between two epochs; its files are not verified."""
    manifest = _manifest(folder)
    return manifest is not None and manifest.fingerprint == fingerprint and manifest.facts["batch"] == 0


def _is_foreign(folder: Path, fingerprint: str) -> bool:
    """Return whether a folder has a readable state of another fit."""
    manifest = _manifest(folder)
    return manifest is not None and manifest.fingerprint != fingerprint


def _manifest(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder, verify=False)
    except StoreError:
        return None

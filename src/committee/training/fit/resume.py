"""The state of a fit, kept so that an interrupted run goes on with the same bytes.

It is kept after each epoch, and in mid-epoch where a signal asks the run to end. The state of the epoch
before stays beside it, for the day when the newest is damaged.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from committee.errors import StoreError
from committee.store import tensors
from committee.store.commit import commit
from committee.store.manifest import Manifest, is_done, read_manifest
from committee.training.fit.journal import CSV_NAME, Row, write_csv

log = logging.getLogger(__name__)


def keep(
    folder: Path,
    fingerprint: str,
    state: Mapping[str, Any],
    history: Sequence[Row],
    run_id: str,
    batch: int = 0,
) -> None:
    """Replace the kept state of a fit; that of the last whole epoch becomes the previous one.

    Parameters
    ----------
    folder : Path
        `Store.resume(member, fold)`.
    fingerprint : str
        Digest of all that decides the fit's result.
    state : dict
        Tensors and plain values, nested.
    history : sequence of dict
        A row for each finished epoch; also written as CSV, to be looked at meanwhile.
    run_id : str
        Of the MLflow run, or empty.
    batch : int
        Batches that are done of the epoch after those; 0 is a state between epochs.
    """
    if _is_whole(folder, fingerprint):
        shutil.rmtree(previous(folder), ignore_errors=True)
        folder.rename(previous(folder))
    facts = {"epoch": len(history), "batch": batch, "run_id": run_id}
    with commit(folder, kind="resume", fingerprint=fingerprint, **facts) as new:
        tensors.save({**state, "history": [dict(row) for row in history]}, new)
        write_csv(new / CSV_NAME, history)


def restore(folder: Path, fingerprint: str, *, whole: bool = False) -> tuple[dict[str, Any], str] | None:
    """Return the newest kept state that is undamaged, and the MLflow run; None if there is none of this fit.

    What is damaged is named in the log, and that there is a state of other settings or data is said once.

    Parameters
    ----------
    folder, fingerprint
        As given to `keep`.
    whole : bool
        Leave out one of mid-epoch.
    """
    said = False
    for place in (folder, previous(folder)):
        if _is_foreign(place, fingerprint):
            if not said:
                fit = f"{folder.parent.name}/{folder.stem}"
                log.warning("%s: a kept state of other settings or data is not used", fit)
            said = True
        elif is_done(place, fingerprint) and (not whole or _is_whole(place, fingerprint)):
            if place != folder:
                # Refused, and named in the log: it must not take the good one's place.
                shutil.rmtree(folder, ignore_errors=True)
            return tensors.load(place), str(read_manifest(place, verify=False).facts["run_id"])
    return None


def forget(folder: Path) -> None:
    """Remove what is kept of a fit, once that is in the store."""
    for place in (folder, previous(folder)):
        shutil.rmtree(place, ignore_errors=True)


def previous(folder: Path) -> Path:
    """Return the folder of the state before: `fold_0.previous.resume` beside `fold_0.resume`."""
    return folder.with_name(f"{folder.stem}.previous{folder.suffix}")


def _is_whole(folder: Path, fingerprint: str) -> bool:
    """Tell whether the state, whose files are not checked, is one between epochs of this fit."""
    manifest = _manifest(folder)
    return manifest is not None and manifest.fingerprint == fingerprint and manifest.facts["batch"] == 0


def _is_foreign(folder: Path, fingerprint: str) -> bool:
    """Tell whether the state there is of another fit than this; one that cannot be read is damaged."""
    manifest = _manifest(folder)
    return manifest is not None and manifest.fingerprint != fingerprint


def _manifest(folder: Path) -> Manifest | None:
    try:
        return read_manifest(folder, verify=False)
    except StoreError:
        return None

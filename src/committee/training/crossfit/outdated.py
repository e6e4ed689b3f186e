"""Removal of results of a member that were made with other settings or data."""

from __future__ import annotations

import logging
from pathlib import Path

from committee.errors import StoreError
from committee.store.commit import remove
from committee.store.layout import Store
from committee.store.manifest import NAME, read_manifest

log = logging.getLogger(__name__)


def drop_outdated(member: str, store: Store, source: str) -> None:
    """Remove the fits and predictions of a member that were not made from this source.

    Parameters
    ----------
    member : str
    store : Store
        Held by this process.
    source : str
        Digest of the inputs that all fits of the member share.
    """
    for top in (store.checkpoint(member, "refit").parent, store.kfold(member)):
        for path in top.glob(f"[!.]*/{NAME}"):
            if not _has_fingerprint(path.parent, source):
                log.warning("%s was made with other settings or data and is removed", path.parent)
                remove(path.parent)


def _has_fingerprint(folder: Path, source: str) -> bool:
    try:
        return read_manifest(folder, verify=False).facts.get("source") == source
    except StoreError:
        return False

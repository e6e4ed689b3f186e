"""What stored ensembles and reports were made from: equal ones are kept, others are said to be replaced."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from committee.base.text import count
from committee.errors import ProtocolError, StoreError, first_five
from committee.predictions.table import Predictions
from committee.store.manifest import NAME, Manifest, canonical, digest, read_manifest

log = logging.getLogger(__name__)

MADE_FROM = "made_from"
"""Fact of a manifest: digest of everything that determines the content, except for measured costs."""
REQUEST = "request"
"""Fact of a manifest: what the recipe asked for, as `Request`."""

Request = Mapping[str, Any]
"""`options` of the combiner, `calibrate`, `rows`, `seed`, and the networks of each of the `candidates`."""


def digest_of(predictions: Predictions | None) -> str:
    """Return a digest of the logits, ids, labels, folds and groups of predictions."""
    if predictions is None:
        return ""
    total = hashlib.sha256()
    for name in ("logits", "labels", "folds", "groups", "seen"):
        column = getattr(predictions, name)
        if column is not None:
            total.update(f"{name}{column.shape}{column.dtype}".encode())
            total.update(np.ascontiguousarray(column).data)
    names = (predictions.sample_ids.tolist(), list(predictions.class_names), list(predictions.members))
    total.update(canonical(names).encode())
    return total.hexdigest()


def is_kept(folder: Path, made_from: str, options: object = None) -> bool:
    """Return whether a stored folder is intact and was made from the same inputs.

    A warning names a damaged folder. Nothing is kept that was made with a function of the user
    (`python:module.function` in the options), whose code may have changed.
    """
    if "python:" in canonical(options):
        return False
    manifest = _manifest(folder)
    return manifest is not None and manifest.facts.get(MADE_FROM) == made_from


def warn_if_replaced(name: str, folder: Path, request: Request) -> None:
    """Say what differs if another recipe asked for the ensemble that is about to be replaced."""
    manifest = _manifest(folder)
    if manifest is None:
        return
    before = manifest.facts.get(REQUEST)
    if not isinstance(before, Mapping):
        log.info("%s was built by an earlier version, and is built again", name)
    elif changes := list(_changes(before, request)):
        log.warning(
            "%s of another recipe is replaced: %s. To keep both, give one of them another name.",
            name,
            "; ".join(changes),
        )


def digest_of_files(folders: Iterable[Path]) -> str:
    """Return a digest of the files of stored folders; others are ignored."""
    stored = sorted(folder for folder in folders if (folder / NAME).exists())
    # A store may be copied, so paths are not part of the digest.
    return digest([[*folder.parts[-2:], read_manifest(folder, verify=False).files] for folder in stored])


def _manifest(folder: Path) -> Manifest | None:
    if not (folder / NAME).exists():
        return None
    try:
        return read_manifest(folder)
    except ProtocolError:
        raise
    except StoreError as error:
        log.warning("%s", error)
        return None


def _changes(before: Request, now: Request) -> Iterator[str]:
    """Yield each difference between what two recipes asked for."""
    old, new = before.get("candidates", {}), now["candidates"]
    if set(old) != set(new):
        yield f"{count(len(new), 'candidate')} ({first_five(new)}) in place of {len(old)} ({first_five(old)})"
    elif old != new:
        yield "other networks of its candidates (refit or folds)"
    for key in ("rows", "calibrate", "seed"):
        if before.get(key) != now[key]:
            yield f"{key} {now[key]} in place of {before.get(key)}"
    options, others = now["options"], before.get("options", {})
    for key in sorted({*options, *others}):
        if options.get(key) != others.get(key):
            yield f"{key} {_short(options.get(key))} in place of {_short(others.get(key))}"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."

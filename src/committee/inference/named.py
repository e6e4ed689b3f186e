"""What the name of a model means: a model of the store, or the path of a file, a package or a bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from committee.errors import UnknownNameError
from committee.exporters.base import format_of
from committee.pipeline.bundling.reading import is_bundle
from committee.store.copies import fetch
from committee.store.remote.address import is_address
from committee.store.remote.downloads import bring_stored

if TYPE_CHECKING:
    from committee.store.layout import Store


def path_of(name: str, store: Store) -> Path | None:
    """Return the path that a name is, or None if it is the name of a model of the store.

    Names with a separator or with the suffix of an exported file are paths. A folder of the working folder,
    such as a bundle, is meant only if no model of the store has its name. What is at an address, such as
    `s3://bucket/model.onnx`, is downloaded first.
    """
    if is_address(name):
        return bring_stored(name)
    path = Path(name)
    fetch(path)
    if any(mark in name for mark in (os.sep, os.altsep) if mark):
        return path
    if format_of(path) is None and not is_bundle(path):
        return None
    return None if path.is_dir() and _is_stored(name, store) else path


def _is_stored(name: str, store: Store) -> bool:
    try:
        store.resolve(name)
    except UnknownNameError:
        return False
    return True

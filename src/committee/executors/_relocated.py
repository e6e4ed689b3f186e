"""Pickling of work for another machine: paths in the store become those of the working store there."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from committee.executors._ray_mirror import Mirror
from committee.store.layout import Store


class _Pickler(pickle.Pickler):
    """Replaces stores, paths in the store, and devices by what they are elsewhere."""

    def __init__(self, file: io.BytesIO, root: Path) -> None:
        super().__init__(file, protocol=5)
        self.root = root

    def persistent_id(self, value: Any) -> tuple[str, str] | None:
        if isinstance(value, torch.device):
            return "device", ""
        path = value.root if isinstance(value, Store) else value
        if not isinstance(path, Path) or not (own := path.absolute()).is_relative_to(self.root):
            return None
        kind = "store" if isinstance(value, Store) else "file" if own.is_file() else "folder"
        return kind, own.relative_to(self.root).as_posix()


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, mirror: Mirror, device: torch.device) -> None:
        super().__init__(file)
        self.mirror, self.device = mirror, device

    def persistent_load(self, found: Any) -> Any:
        kind, place = found
        if kind == "device":
            return self.device
        if kind == "store":
            return self.mirror.store(place)
        if kind == "file":
            return self.mirror.file(place)
        path = self.mirror.root / place
        self.mirror.bring(path)
        return path


def dump(work: object, root: Path) -> bytes:
    """Pickle work whose store is in the folder `root`, or in a folder below it."""
    file = io.BytesIO()
    _Pickler(file, root.absolute()).dump(work)
    return file.getvalue()


def load(content: bytes, mirror: Mirror, device: torch.device) -> Any:
    """Return work that `dump` pickled, for this machine; files that it maps into memory are brought.

    The bytes come from the driver of the run, through a cluster that asks for a token.
    """
    return _Unpickler(io.BytesIO(content), mirror, device).load()

"""Cost of an atomic commit to the store (flush, hash and rename), compared with plain writing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from harness import Row, compare, main

from committee.store.commit import commit

MEGABYTE = 10**6
FOLDERS = {
    "predictions: 5 files, 2 MB": [2.0, 0.01, 0.01, 0.01, 0.05],
    "weights: 2 files, 100 MB": [100.0, 0.01],
}


def fill(folder: Path, sizes: list[float]) -> None:
    """Write files of these sizes, in megabytes."""
    for index, size in enumerate(sizes):
        (folder / f"{index}.bin").write_bytes(np.zeros(int(size * MEGABYTE), np.uint8).data)


def stored(place: Path, sizes: list[float]) -> None:
    """Replace a folder by a commit."""
    with commit(place, kind="x", fingerprint="x") as new:
        fill(new, sizes)


def plain(place: Path, sizes: list[float]) -> None:
    """Replace a folder by plain writing."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    fill(place, sizes)


def measure(quick: bool) -> list[Row]:
    """Return the seconds of a commit, and of plain writing."""
    rows = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        for work, sizes in FOLDERS.items():
            sizes = [size / 100 for size in sizes] if quick else sizes
            ways: list[Callable[[], None]] = [
                partial(way, Path(folder) / way.__name__, sizes) for way in (stored, plain)
            ]
            seconds, ratio, low, high = compare(*ways, 2 if quick else 15)
            note = f"{seconds - seconds * ratio:.3f} s more than plain writing"
            rows.append(
                Row("commit", work, "writing alone", seconds, ratio=ratio, low=low, high=high, note=note)
            )
    return rows


if __name__ == "__main__":
    main(measure)

"""The stratified sample of pixels that combiners of maps are fitted and scored on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.base import progress
from committee.base.randomness import sample_keys
from committee.images.maps import Maps, Points
from committee.store.commit import commit, remove
from committee.store.layout import Store
from committee.store.manifest import digest, is_done

MOST = 2_000_000
"""Largest number of pixels of all images, but for one of each class of each image."""
PART = 2**22
"""Pixels that are searched at once: photographs are not copied whole."""
VERSION = 1
FILES = ("row", "pixel", "labels")


def open_points(
    store: Store, content: str, maps: Maps, ids: NDArray[np.str_], counts: NDArray[np.int64], pixels: int
) -> Points:
    """Return the sample of pixels of a data set; the first call draws it.

    Parameters
    ----------
    store : Store
    content : str
        Digest of the data set.
    maps, ids, counts, pixels
        As in `sample_points`.
    """
    fingerprint = digest({"content": content, "pixels": pixels, "version": VERSION})
    folder = store.cache(f"points-{fingerprint[:12]}")
    if not is_done(folder, fingerprint):
        points = sample_points(maps, ids, counts, pixels)
        with store.hold(), commit(folder, kind="points", fingerprint=fingerprint, content=content) as place:
            for name in FILES:
                np.save(place / f"{name}.npy", getattr(points, name))
        with store.hold():
            for other in {*store.root.glob("cache/points-*")} - {folder}:
                remove(other)
    return Points(*(_load(folder / f"{name}.npy") for name in FILES))


def _load(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, allow_pickle=False)
    return array


def sample_points(
    maps: Maps, ids: NDArray[np.str_], counts: NDArray[np.int64], pixels: int, most: int = MOST
) -> Points:
    """Draw pixels of each image: of each class about in proportion, and at least one.

    The sample depends on the maps and on the ids of the images alone. Pixels without a label are not drawn.

    Parameters
    ----------
    maps : Maps
    ids : str `[N]`
        Ids of the images.
    counts : int64 `[N, C]` or `[N, 1]`
        Number of pixels of each class of each map, or of those with a label.
    pixels : int
        Largest number of pixels of an image.
    most : int
        Largest number of pixels of all images. Both numbers may be exceeded to have each class of an image.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.images.maps import Maps
    >>> from committee.images.points import sample_points
    >>> values = np.array([0, 0, 0, 0, 0, 0, 0, 1, -1, -1], np.int16)
    >>> maps = Maps(np.zeros(10, np.uint8), values, np.array([[2, 5]]), 1, 0)
    >>> points = sample_points(maps, np.array(["a.png"]), np.array([[7, 1]]), pixels=4)
    >>> points.labels.tolist()
    [0, 0, 0, 1]
    """
    quota = max(1, min(pixels, most // max(1, len(ids))))
    keys = sample_keys(ids)
    rows: list[NDArray[np.int64]] = []
    places: list[NDArray[np.int64]] = []
    for row in progress.track(range(len(ids)), len(ids), "sampling pixels"):
        drawn = np.random.default_rng(int(keys[row]))
        shares = _shares(counts[row], quota)
        found = [
            _places(maps, row, label, drawn.choice(counts[row, label], shares[label], replace=False))
            for label in np.flatnonzero(shares).tolist()
        ]
        places.append(np.sort(np.concatenate([*found, np.empty(0, np.int64)])))
        rows.append(np.full(len(places[-1]), row, np.int64))
    labels = [_labels(maps, row, each) for row, each in enumerate(places)]
    return Points(np.concatenate(rows), np.concatenate(places), np.concatenate(labels))


def _shares(counts: NDArray[np.int64], quota: int) -> NDArray[np.int64]:
    """Return how many pixels of each class are drawn: largest remainders, and at least one of each."""
    exact = counts * min(1.0, quota / max(1, int(counts.sum())))
    shares = np.where(counts > 0, np.maximum(1, np.floor(exact)), 0).astype(np.int64)
    spare = min(quota, int(counts.sum())) - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[: max(0, spare)]] += 1
    while shares.sum() > quota and shares.max() > 1:
        shares[shares.argmax()] -= 1
    return shares


def _places(maps: Maps, row: int, label: int, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of pixels of a class, by their numbers among all of its pixels."""
    ranks, seen, found = np.sort(ranks), 0, []
    for start, there in _parts(maps, row, label):
        places = np.flatnonzero(there)
        first, last = np.searchsorted(ranks, (seen, seen + len(places)))
        found.append(places[ranks[first:last] - seen] + start)
        seen += len(places)
    return np.concatenate(found).astype(np.int64)


def _parts(maps: Maps, row: int, label: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield which pixels of a map have a class, or numbers, part by part."""
    flat = maps.map(row).reshape(-1, maps.targets or 1)
    for start in range(0, len(flat), PART):
        part = np.asarray(flat[start : start + PART, 0])
        yield start, ~np.isnan(part) if maps.targets else part == label


def _labels(maps: Maps, row: int, places: NDArray[np.int64]) -> NDArray[Any]:
    labels = np.asarray(maps.map(row).reshape(-1, maps.targets or 1)[places])
    return labels.astype(np.float64) if maps.targets else labels[:, 0].astype(np.int64)

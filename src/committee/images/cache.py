"""Every image decoded once, to a square a little larger than the largest member needs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from committee import progress
from committee.errors import DataError, first_five
from committee.images.decode import decode
from committee.images.readers._base import Images
from committee.images.view import Fit, canvas
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.manifest import digest, is_done

FILE = "canvas.npy"

Result = TypeVar("Result")


def content_digest(sample_ids: Sequence[str], images: Images, workers: int) -> str:
    """Return the SHA-256 of all images: of their bytes, in order, with their ids.

    Raises
    ------
    DataError
        A file cannot be read.
    """
    hashes = _each(_hash, images, workers, "hashing images")
    total = hashlib.sha256()
    for name, one in zip(sample_ids, hashes, strict=True):
        total.update(f"{name}\0{one}\n".encode())
    return total.hexdigest()


def cache_folder(store: Store, content: str, size: int, fit: Fit, channels: int) -> tuple[Path, str]:
    """Return the folder of a canvas cache, and the digest of what makes it."""
    made_from = digest({"content": content, "size": size, "fit": fit, "channels": channels, "order": "HWc"})
    return store.cache(f"canvas-{size}-{fit}-{channels}-{made_from[:12]}"), made_from


def is_cached(store: Store, content: str, size: int, fit: Fit, channels: int) -> bool:
    """Return whether the images with this content were decoded to this canvas already."""
    return is_done(*cache_folder(store, content, size, fit, channels))


def open_canvas(
    store: Store,
    content: str,
    sample_ids: Sequence[str],
    images: Images | None,
    *,
    size: int,
    fit: Fit,
    channels: int,
    workers: int,
) -> NDArray[np.uint8]:
    """Return the canvas of all images, memory-mapped; decode them if that was not done before.

    Parameters
    ----------
    content : str
        `content_digest` of the images.
    images : N images, or None where `is_cached`
    size, fit, channels
        The canvas: `[channels, size, size]`.
    workers : int
        Threads that decode; 0 and 1 are one.

    Returns
    -------
    uint8 `[N, size, size, channels]`
        Colours last: a crop of it is rows of bytes, which resize two and a half times as fast.

    Raises
    ------
    DataError
        Images cannot be decoded; the sentence names the first five.
    """
    folder, made_from = cache_folder(store, content, size, fit, channels)
    if images is not None and not is_done(folder, made_from):
        with store.hold(), commit(folder, kind="canvas", made_from=made_from) as place:
            shape = (len(sample_ids), size, size, channels)
            pixels = np.lib.format.open_memmap(place / FILE, mode="w+", dtype=np.uint8, shape=shape)
            _fill(pixels, sample_ids, images, fit, workers)
            pixels.flush()
            del pixels  # Windows cannot move a file that is mapped
    return np.load(folder / FILE, mmap_mode="r", allow_pickle=False)


def _fill(pixels: NDArray[np.uint8], ids: Sequence[str], images: Images, fit: Fit, workers: int) -> None:
    size, channels = pixels.shape[2:]
    bad: list[DataError] = []

    def place(row: int) -> None:
        try:
            image = torch.from_numpy(decode(images[row], channels, name=ids[row]))
            pixels[row] = canvas(image[None], size, fit)[0].permute(1, 2, 0).numpy()
        except DataError as error:
            bad.append(error)

    for _ in _each(place, range(len(ids)), workers, "decoding images"):
        pass
    if len(bad) == 1:
        raise bad[0]
    if bad:
        raise DataError(
            f"{len(bad)} of {len(ids)} images", expected="JPEG, PNG or WebP images",
            got=f"unreadable {first_five(sorted(error.who for error in bad))}",
            todo="Replace them or leave them out.",
        )  # fmt: skip


def _hash(image: Any) -> str:
    if isinstance(image, Path):
        try:
            with image.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataError(
                str(image), expected="a file that can be read", got=str(error.strerror)
            ) from error
    content = image if isinstance(image, bytes) else np.ascontiguousarray(image).tobytes()
    return hashlib.sha256(content).hexdigest()


def _each(work: Callable[[Any], Result], items: Any, workers: int, what: str) -> list[Result]:
    """Run `work` over `items` in threads: Pillow, torch and hashlib let go of Python's lock."""
    with ThreadPoolExecutor(max(1, min(workers, os.cpu_count() or 1))) as pool:
        return list(progress.track(pool.map(work, items), len(items), what))

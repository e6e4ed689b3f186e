"""The cache of decoded images: squares slightly larger than the input of the largest member."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray

from committee.base import progress
from committee.errors import DataError, StoreError, first_five
from committee.images.decode import ImageError, decode, open_file
from committee.images.readers.base import Images
from committee.images.threads import in_order
from committee.images.view import PIXELS, Fit, frame
from committee.images.workers import Workers
from committee.store.commit import commit, remove
from committee.store.disk import require_room
from committee.store.layout import Store
from committee.store.manifest import digest, is_done, read_manifest

FILE, BROKEN, PRINTS = "canvas.npy", "broken.json", "prints.npy"
AHEAD = 16
_CORES = os.cpu_count() or 1
IMAGES_A_WORKER = 64
"""Number of images per worker that justifies a worker: starting one takes as long as decoding these."""


@dataclass(frozen=True, eq=False)
class Canvas:
    """The K images of N that could be decoded.

    Parameters
    ----------
    pixels : uint8 `[K, size, size, channels]`, memory-mapped
        The images, channels last: crops of rows resize two and a half times as fast.
    prints : uint64 `[K, 2]`
        Hash of each image; equal for equal pixels.
    broken : dict
        Sample id -> reason, for the other N - K images.

    See Also
    --------
    open_canvas : Open or create the cache of decoded images.
    """

    pixels: NDArray[np.uint8]
    prints: NDArray[np.uint64]
    broken: Mapping[str, str]


def hash_images(images: Images, workers: int) -> list[str]:
    """Return the SHA-256 of each image, or the system's error message if it cannot be read."""
    with _pool(workers) as pool:
        hashes = in_order(pool, _hash, images, AHEAD)
        return list(progress.track(hashes, len(images), "hashing images"))


def content_digest(sample_ids: Sequence[str], hashes: Sequence[str]) -> str:
    """Return the SHA-256 of all hashes and ids, in order."""
    total = hashlib.sha256()
    for name, one in zip(sample_ids, hashes, strict=True):
        total.update(f"{name}\0{one}\n".encode())
    return total.hexdigest()


def cache_folder(store: Store, content: str, size: int, fit: Fit, channels: int) -> tuple[Path, str]:
    """Return the folder of a cache of decoded images, and the fingerprint of its settings."""
    fingerprint = digest(
        {"content": content, "size": size, "fit": fit, "channels": channels, "pixels": PIXELS}
    )
    return store.cache(f"canvas-{size}-{fit}-{channels}-{fingerprint[:12]}"), fingerprint


def is_cached(store: Store, content: str, size: int, fit: Fit, channels: int) -> bool:
    """Return whether the images with this content are already decoded to this size."""
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
    all_good: bool = False,
) -> Canvas:
    """Return the decoded images; decode them if they are not in the cache.

    Parameters
    ----------
    store : Store
    content : str
        `content_digest` of the images when they were first read.
    sample_ids : sequence of N str
    images : sequence of N images or None
        None if `is_cached`.
    size, fit, channels
        Size and kind of the decoded images, `[size, size, channels]`.
    workers : int
        Number of processes that decode; 0 decodes in this process. Arrays are only resized, in threads.
    all_good : bool
        Whether all images could be decoded before, to another size.

    Raises
    ------
    DataError
        `all_good`, and some images cannot be decoded now.
    WorkersFailed
        Workers do not start, or too many crashed.
    """
    folder, fingerprint = cache_folder(store, content, size, fit, channels)
    if images is not None and not is_done(folder, fingerprint):
        require_room(folder, len(sample_ids) * channels * size**2)
        with store.hold(), commit(folder, kind="canvas", fingerprint=fingerprint, content=content) as place:
            broken = _fill(place, sample_ids, images, (size, fit, channels), workers)
            if broken and all_good:
                raise DataError(
                    f"{len(broken)} of {len(sample_ids)} images",
                    expected="images that can be decoded as before",
                    got=f"errors for {first_five(broken)}",
                    todo="Check memory and disk, and run the command again.",
                )
    return Canvas(
        pixels=np.load(folder / FILE, mmap_mode="r", allow_pickle=False),
        prints=np.load(folder / PRINTS, allow_pickle=False),
        broken=json.loads((folder / BROKEN).read_text(encoding="utf-8")),
    )


def remove_other_caches(store: Store, content: str) -> None:
    """Remove the caches of other images, such as earlier versions of these."""
    with store.hold():
        for folder in store.root.glob("cache/canvas-*"):
            with contextlib.suppress(StoreError):
                if read_manifest(folder, verify=False).facts.get("content") == content:
                    continue
            remove(folder)


def _fill(
    place: Path, ids: Sequence[str], images: Images, shape: tuple[int, Fit, int], workers: int
) -> dict[str, str]:
    """Write the images one by one: on a full disk this raises an error, while a memory map would crash."""
    size, fit, channels = shape
    broken: dict[str, str] = {}
    prints: list[bytes] = []
    with _decoding(images, channels, workers) as (pool, decode_row), (place / FILE).open("wb") as file:

        def square(row: int) -> tuple[NDArray[np.uint8], bytes] | str:
            try:
                image = torch.from_numpy(decode_row(row, ids[row]))
            except ImageError as error:
                return error.reason
            pixels = frame(image[None], size, fit)[0].permute(1, 2, 0).contiguous().numpy()
            return pixels, hashlib.sha256(pixels.data).digest()[:16]

        _write_header(file, (len(ids), size, size, channels))
        squares = in_order(pool, square, range(len(ids)), AHEAD)
        for name, result in zip(ids, progress.track(squares, len(ids), "decoding images"), strict=True):
            if isinstance(result, str):
                broken[name] = result
            else:
                file.write(result[0].data)
                prints.append(result[1])
        file.seek(0)
        _write_header(file, (len(prints), size, size, channels))
    np.save(place / PRINTS, np.frombuffer(b"".join(prints), "<u8").reshape(-1, 2))
    (place / BROKEN).write_text(json.dumps(broken, ensure_ascii=False), encoding="utf-8")
    return broken


def _write_header(file: IO[bytes], shape: tuple[int, ...]) -> None:
    """Write the header of a `.npy` file; NumPy reserves space in it for any number of rows."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


@contextlib.contextmanager
def _decoding(
    images: Images, channels: int, workers: int
) -> Iterator[tuple[ThreadPoolExecutor, Callable[[int, str], NDArray[np.uint8]]]]:
    """Yield a pool of threads, and the function that decodes a row, in the thread or in a worker."""
    with _pool(workers) as pool:
        if not workers or isinstance(images, np.ndarray):
            yield pool, lambda row, name: decode(images[row], channels, name=name)
            return
        # Workers are closed before the threads that wait for them, so that Ctrl-C does not wait for an image.
        with Workers(min(workers, _CORES, 1 + len(images) // IMAGES_A_WORKER)) as processes:
            yield pool, lambda row, name: processes.decode(images[row], channels, name)


def _pool(workers: int) -> ThreadPoolExecutor:
    """Return a pool of threads; Pillow, torch and hashlib release the global interpreter lock."""
    return ThreadPoolExecutor(max(1, min(workers, _CORES)))


def _hash(image: Any) -> str:
    if isinstance(image, Path):
        try:
            with open_file(image) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return str(error.strerror)
    content = image if isinstance(image, bytes) else np.ascontiguousarray(image).tobytes()
    return hashlib.sha256(content).hexdigest()

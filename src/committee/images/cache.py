"""The cache of decoded images: a canvas for each preprocessing, slightly larger than a network's input."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from committee.base import progress
from committee.errors import DataError, first_five
from committee.images.canvas_of import PRINT, squares_of
from committee.images.decode import ImageError, decode, open_file
from committee.images.readers.base import Images
from committee.images.threads import in_order
from committee.images.view import PIXELS, CanvasSpec
from committee.images.waiting import held
from committee.images.workers import Workers
from committee.store.commit import commit, is_being_written, remove
from committee.store.disk import require_room
from committee.store.hashes import hash_file
from committee.store.layout import Store
from committee.store.manifest import digest, is_done

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
        Hash of each decoded image; equal for equal pixels.
    broken : dict
        Sample id -> reason, for the other N - K images.

    See Also
    --------
    open_canvases : Open or create the cache of decoded images.
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


def cache_folder(store: Store, content: str, spec: CanvasSpec) -> tuple[Path, str]:
    """Return the folder of a cache of decoded images, and the fingerprint of its settings."""
    fingerprint = digest({"content": content, **spec._asdict(), "pixels": PIXELS})
    return store.cache("canvas-{}-{}-{}-".format(*spec) + fingerprint[:12]), fingerprint


def is_cached(store: Store, content: str, specs: Collection[CanvasSpec]) -> bool:
    """Return whether the images with this content are already decoded to all of these canvases."""
    return all(is_done(*cache_folder(store, content, spec)) for spec in specs)


def open_canvases(
    store: Store,
    content: str,
    sample_ids: Sequence[str],
    images: Images | None,
    specs: Collection[CanvasSpec],
    *,
    workers: int,
    all_good: bool = False,
) -> dict[CanvasSpec, Canvas]:
    """Return the decoded images; those that are not in the cache are made in one pass over the images.

    Parameters
    ----------
    store : Store
    content : str
        `content_digest` of the images when they were first read.
    sample_ids : sequence of N str
    images : sequence of N images or None
        None if `is_cached`.
    specs : collection of CanvasSpec
        Sizes and kinds of the decoded images.
    workers : int
        Number of processes that decode; 0 decodes in this process. Arrays are only resized, in threads.
    all_good : bool
        Whether all images could be decoded before, to another canvas. Otherwise all canvases are made if one
        is missing, so that all have the same images.

    Raises
    ------
    DataError
        `all_good`, and some images cannot be decoded now.
    WorkersFailed
        Workers do not start, or too many crashed.
    """
    folders = {spec: cache_folder(store, content, spec) for spec in specs}
    if images is None:
        return {spec: _load(folder) for spec, (folder, _) in folders.items()}

    def missing() -> list[CanvasSpec]:
        return [spec for spec, place in folders.items() if not is_done(*place)]

    def is_making() -> bool:
        return any(is_being_written(folder) for folder, _ in folders.values())

    with held(store, lambda: bool(missing()), is_making):
        for channels in sorted({spec.channels for spec in missing()}):
            wanted = [spec for spec in (missing() if all_good else specs) if spec.channels == channels]
            with _committed(folders, wanted, content, len(sample_ids)) as places:
                require_good(_fill(places, sample_ids, images, channels, workers), sample_ids, all_good)
    return {spec: _load(folder) for spec, (folder, _) in folders.items()}


@contextlib.contextmanager
def _committed(
    folders: Mapping[CanvasSpec, tuple[Path, str]], wanted: Sequence[CanvasSpec], content: str, rows: int
) -> Iterator[dict[CanvasSpec, Path]]:
    """Yield a temporary folder for each canvas, which become the folders of the canvases after the block."""
    require_room(folders[wanted[0]][0], rows * sum(spec.channels * spec.size**2 for spec in wanted))
    with contextlib.ExitStack() as stack:
        yield {
            spec: stack.enter_context(
                commit(folders[spec][0], kind="canvas", fingerprint=folders[spec][1], content=content)
            )
            for spec in wanted
        }


def require_good(broken: Mapping[str, str], sample_ids: Sequence[str], all_good: bool) -> None:
    """Raise DataError if images are broken that could be decoded before."""
    if broken and all_good:
        raise DataError(
            f"{len(broken)} of {len(sample_ids)} images",
            expected="images that can be decoded as before",
            got=f"errors for {first_five(broken)}",
            todo="Check memory and disk, and run the command again.",
        )


def _load(folder: Path) -> Canvas:
    return Canvas(
        pixels=np.load(folder / FILE, mmap_mode="r", allow_pickle=False),
        prints=np.load(folder / PRINTS, allow_pickle=False),
        broken=json.loads((folder / BROKEN).read_text(encoding="utf-8")),
    )


def remove_other_canvases(store: Store, content: str, specs: Collection[CanvasSpec]) -> None:
    """Remove all canvases but `specs` of the images with this content; they can be made again."""
    kept = {cache_folder(store, content, spec)[0] for spec in specs}
    with store.hold():
        for folder in set(store.root.glob("cache/canvas-*")) - kept:
            remove(folder)


def _fill(
    places: Mapping[CanvasSpec, Path], ids: Sequence[str], images: Images, channels: int, workers: int
) -> dict[str, str]:
    """Write the images one by one: on a full disk this raises an error, while a memory map would crash."""
    broken: dict[str, str] = {}
    prints = bytearray()
    kinds = [(spec.size, spec.fit) for spec in places]
    with contextlib.ExitStack() as stack:
        pool, processes = stack.enter_context(decoding(len(images), workers))
        files = {spec: stack.enter_context((place / FILE).open("wb")) for spec, place in places.items()}

        def squares(row: int) -> tuple[bytes, list[NDArray[np.uint8]]] | str:
            try:
                return _squares(images[row], channels, ids[row], kinds, processes)
            except ImageError as error:
                return error.reason

        _write_headers(files, len(ids))
        results = in_order(pool, squares, range(len(ids)), AHEAD)
        for name, result in zip(ids, progress.track(results, len(ids), "decoding images"), strict=True):
            if isinstance(result, str):
                broken[name] = result
                continue
            prints += result[0]
            for square, file in zip(result[1], files.values(), strict=True):
                file.write(square.data)
        _write_headers(files, len(prints) // PRINT)
    for place in places.values():
        np.save(place / PRINTS, np.frombuffer(prints, "<u8").reshape(-1, 2))
        (place / BROKEN).write_text(json.dumps(broken, ensure_ascii=False), encoding="utf-8")
    return broken


def _squares(
    source: Any, channels: int, name: str, kinds: Sequence[tuple[int, str]], processes: Workers | None
) -> tuple[bytes, list[NDArray[np.uint8]]]:
    """Return the hash of an image, and its canvases: from a process, so that it sends no more than these."""
    if processes is None or isinstance(source, np.ndarray):
        return squares_of(decode(source, channels, name=name), kinds)
    return processes.squares(source, channels, name, kinds)


def _write_headers(files: Mapping[CanvasSpec, IO[bytes]], rows: int) -> None:
    for spec, file in files.items():
        write_header(file, (rows, spec.size, spec.size, spec.channels))


def write_header(file: IO[bytes], shape: tuple[int, ...], dtype: str = "|u1") -> None:
    """Write the header of a `.npy` file; NumPy reserves space in it for any number of rows."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})


@contextlib.contextmanager
def decoding(images: int, workers: int) -> Iterator[tuple[ThreadPoolExecutor, Workers | None]]:
    """Yield a pool of threads, and the processes that decode files; none if threads decode them."""
    with _pool(workers) as pool:
        if not workers:
            yield pool, None
            return
        # Workers are closed before the threads that wait for them, so that Ctrl-C does not wait for an image.
        with Workers(min(workers, _CORES, 1 + images // IMAGES_A_WORKER)) as processes:
            yield pool, processes


def decode_image(source: Any, channels: int, name: str, processes: Workers | None) -> NDArray[np.uint8]:
    """Decode an image, in a process if it is a file, and there are processes."""
    if processes is None or isinstance(source, np.ndarray):
        return decode(source, channels, name=name)
    return processes.decode(source, channels, name)


def _pool(workers: int) -> ThreadPoolExecutor:
    """Return a pool of threads; Pillow, NumPy and hashlib release the global interpreter lock."""
    return ThreadPoolExecutor(max(1, min(workers, _CORES)))


def _hash(image: Any) -> str:
    if isinstance(image, Path):
        try:
            return hash_file(image, open_file)
        except OSError as error:
            return str(error.strerror)
    content = image if isinstance(image, bytes) else np.ascontiguousarray(image).tobytes()
    return hashlib.sha256(content).hexdigest()

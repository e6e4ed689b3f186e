"""The cache of decoded images and maps in their own sizes: one row of pixels after the other."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from committee.base import progress
from committee.errors import DataError, first_five
from committee.images.cache import decode_image, decoding, require_good, write_header
from committee.images.canvas_of import print_of
from committee.images.decode import ImageError, size_of
from committee.images.mask_classes import Classes, classes_of
from committee.images.masks import OF_MASK, Masks, decode_mask
from committee.images.readers.base import Images, Samples
from committee.images.threads import in_order
from committee.images.view import PIXELS
from committee.images.workers import Workers
from committee.recipe.dataset import MOST_VALUES
from committee.store.commit import commit, remove
from committee.store.disk import require_room
from committee.store.layout import Store
from committee.store.manifest import digest, is_done

IMAGES, MAPS, SIZES, PRINTS, COUNTS, MEANS = "images", "maps", "sizes", "prints", "counts", "means"
FACTS = "facts.json"
AHEAD = 4
"""Number of images that are decoded in advance; whole photographs are larger than canvases."""
SMALLEST = 8
"""Smallest height and width of an image, in pixels."""
LARGEST = 1e30
"""Largest number of a pixel, as of targets of images."""
PART = 2**22
"""Number of values that are rewritten at once."""


@dataclass(frozen=True, eq=False)
class MapCache:
    """The K images of N that could be decoded with their masks.

    Parameters
    ----------
    images : uint8 `[sum of H * W * channels]`, memory-mapped
    maps : int16 `[sum of H * W]`, or float32 `[sum of H * W * T]`, memory-mapped
        Index of the class of each pixel, -1 without a label; or numbers, NaN without a label.
    sizes : int64 `[K, 2]`
        Height and width.
    prints : uint64 `[K, 2]`
        Hash of each decoded image; equal for equal pixels.
    counts : int64 `[K, C]` or `[K, 1]`
        Number of pixels of each class, or of those with a label.
    means : float64 `[K, T]`
        Mean of the numbers of each map; T is 0 for classes.
    channels : int
    class_names : tuple of str
        Names of the classes, or of the numbers.
    broken : dict
        Sample id -> reason, for the other N - K images.

    See Also
    --------
    open_map_cache : Open or create the cache.
    """

    images: NDArray[np.uint8]
    maps: NDArray[Any]
    sizes: NDArray[np.int64]
    prints: NDArray[np.uint64]
    counts: NDArray[np.int64]
    means: NDArray[np.float64]
    channels: int
    class_names: tuple[str, ...]
    broken: Mapping[str, str]


class _Pair(NamedTuple):
    """A decoded image and its map; of a map of numbers, `seen` has their sum, and least and largest one."""

    image: NDArray[np.uint8]
    map: NDArray[Any]
    print: bytes
    narrow: bool
    seen: Any


def map_folder(store: Store, content: str, channels: int) -> tuple[Path, str]:
    """Return the folder of a cache of images and maps, and the fingerprint of its settings."""
    fingerprint = digest({"content": content, "channels": channels, "maps": PIXELS})
    return store.cache(f"maps-{channels}-{fingerprint[:12]}"), fingerprint


def has_map_cache(store: Store, content: str, channels: int) -> bool:
    """Return whether the images and masks with this content are already decoded."""
    return is_done(*map_folder(store, content, channels))


def open_map_cache(
    store: Store,
    content: str,
    samples: Samples | None,
    channels: int,
    *,
    workers: int,
    all_good: bool = False,
) -> MapCache:
    """Return decoded images and maps; the first call decodes them.

    Parameters
    ----------
    store : Store
    content : str
        Digest of images and masks, and of what the values of masks mean.
    samples : Samples or None
        None if `has_map_cache`.
    channels : int
    workers : int
        Number of processes that decode; 0 decodes in this process.
    all_good : bool
        Whether all images and masks could be decoded before.

    Raises
    ------
    DataError
        `all_good`, and some cannot be decoded now; a mask has a value that is no class, or all pixels have
        the same label.
    WorkersFailed
        Workers do not start, or too many crashed.
    """
    folder, fingerprint = map_folder(store, content, channels)
    if samples is not None and not is_done(folder, fingerprint):
        with store.hold():
            require_room(folder, _bytes(samples, channels))
            with commit(folder, kind="maps", fingerprint=fingerprint, content=content) as place:
                broken = _Writer(place, samples, channels).write(workers)
                require_good(broken, samples.ids, all_good)
    arrays = {name: _load(folder, name) for name in (IMAGES, MAPS, SIZES, PRINTS, COUNTS, MEANS)}
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    return MapCache(
        **arrays, channels=channels, class_names=tuple(facts["class_names"]), broken=facts["broken"]
    )


def remove_other_map_caches(store: Store, content: str, channels: int) -> None:
    """Remove the decoded images and maps of other content; they can be made again."""
    with store.hold():
        for folder in {*store.root.glob("cache/maps-*")} - {map_folder(store, content, channels)[0]}:
            remove(folder)


def _load(folder: Path, name: str) -> NDArray[Any]:
    large = name in (IMAGES, MAPS)
    array: NDArray[Any] = np.load(folder / f"{name}.npy", "r" if large else None, allow_pickle=False)
    return array


def _bytes(samples: Samples, channels: int) -> int:
    """Return the size of the decoded images and maps, by the headers of the images."""
    assert samples.masks is not None
    targets = len(samples.masks.targets)
    return _pixels(samples.images) * (channels + (4 * targets or 2))


def _pixels(images: Images) -> int:
    if isinstance(images, np.ndarray):
        return math.prod(images.shape[:3])
    return sum(math.prod(size_of(image) or (0,)) for image in images)


class _Writer:
    """Decodes images and masks one by one, and writes them.

    On a full disk, this raises an error, while a memory map would crash.
    """

    def __init__(self, place: Path, samples: Samples, channels: int) -> None:
        assert samples.masks is not None
        self.place, self.samples, self.masks, self.channels = place, samples, samples.masks, channels
        self.dtype = "<f4" if self.masks.targets else "<u2"

    def write(self, workers: int) -> dict[str, str]:
        """Write all files, and return why images are left out."""
        ids, broken = self.samples.ids, {}
        kept: list[str] = []
        pairs: list[_Pair] = []
        sizes: list[tuple[int, ...]] = []
        with contextlib.ExitStack() as stack:
            pool, processes = stack.enter_context(decoding(len(ids), workers))
            images, maps = (
                stack.enter_context((self.place / f"{name}.npy").open("wb")) for name in (IMAGES, MAPS)
            )
            for file, dtype in ((images, "|u1"), (maps, self.dtype)):
                write_header(file, (0,), dtype)
            found = in_order(pool, self._decoder(processes), range(len(ids)), AHEAD)
            for name, pair in zip(
                ids, progress.track(found, len(ids), "decoding images and masks"), strict=True
            ):
                if isinstance(pair, str):
                    broken[name] = pair
                    continue
                images.write(pair.image.data)
                maps.write(pair.map.data)
                sizes.append(pair.image.shape[:2])
                kept.append(name)
                pairs.append(pair._replace(image=_NOTHING, map=_NOTHING))
            pixels = sum(map(math.prod, sizes))
            write_header(images, (pixels * self.channels,))
            write_header(maps, (pixels * (len(self.masks.targets) or 1),), self.dtype)
        self._save(SIZES, np.array(sizes, np.int64).reshape(-1, 2))
        self._summarize(kept, pairs, broken, pixels)
        self._save(PRINTS, np.frombuffer(b"".join(pair.print for pair in pairs), "<u8").reshape(-1, 2))
        return broken

    def _summarize(self, kept: list[str], pairs: list[_Pair], broken: Mapping[str, str], pixels: int) -> None:
        """Write what is known of each map, and the classes in place of the values of masks."""
        seen = [pair.seen for pair in pairs]
        if self.masks.targets:
            names, counts, means = self.masks.targets, *_of_numbers(seen, self.masks.targets)
        elif kept:
            classes = classes_of(self.masks, kept, seen, all(pair.narrow for pair in pairs))
            _rewrite(self.place / f"{MAPS}.npy", classes.of_value, pixels)
            names, counts, means = classes.names, _of_classes(seen, classes), np.empty((len(kept), 0))
        else:
            names, counts, means = (), np.empty((0, 0), np.int64), np.empty((0, 0))
        self._save(COUNTS, counts)
        self._save(MEANS, means)
        facts = {"class_names": names, "broken": broken}
        (self.place / FACTS).write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")

    def _save(self, name: str, array: NDArray[Any]) -> None:
        np.save(self.place / f"{name}.npy", array)

    def _decoder(self, processes: Workers | None) -> Callable[[int], _Pair | str]:
        """Return the function that decodes a row, or returns why it cannot be used."""
        samples, masks = self.samples, self.masks

        def decode(row: int) -> _Pair | str:
            name, source = samples.ids[row], masks.sources[row]
            try:
                image = decode_image(samples.images[row], self.channels, name, processes).transpose(1, 2, 0)
                if processes is None or isinstance(source, np.ndarray):
                    mask = decode_mask(source, name)
                else:
                    mask = processes.decode_mask(source, name)
                _check_sizes(image.shape, mask.shape)
                values, seen = (_numbers if masks.targets else _codes)(mask, masks)
            except ImageError as error:
                return error.reason
            except _Unusable as error:
                return str(error)
            image = np.ascontiguousarray(image)
            return _Pair(image, np.ascontiguousarray(values), print_of(image), mask.dtype == np.uint8, seen)

        return decode


_NOTHING: NDArray[Any] = np.empty(0)


class _Unusable(ValueError):
    """An image and a mask that do not belong together, or a mask with values that are no labels."""


def _check_sizes(image: tuple[int, ...], mask: tuple[int, ...]) -> None:
    if mask[:2] != image[:2]:
        raise _Unusable(f"{OF_MASK}{mask[1]} x {mask[0]} pixels large, and the image {image[1]} x {image[0]}")
    if min(image[:2]) < SMALLEST:
        raise _Unusable(f"an image of {image[1]} x {image[0]} pixels, smaller than {SMALLEST} x {SMALLEST}")


def _codes(mask: NDArray[Any], masks: Masks) -> tuple[NDArray[np.uint16], dict[int, int]]:
    """Return values as uint16 `[H, W]`, `MOST_VALUES` without a label, and the number of pixels of each.

    A value that has no code is one of the numbers: it is no class, and refused when all masks are known.
    """
    if mask.dtype.kind == "f":
        raise _Unusable(f"{OF_MASK}of floating-point numbers, while others are of whole numbers")
    mask = mask[..., 0]
    ignored = np.zeros(mask.shape, bool) if masks.ignore is None else mask == masks.ignore
    used = mask[~ignored]
    codes = mask.astype(np.uint16)
    if used.size and not 0 <= used.min() <= used.max() < MOST_VALUES:
        return codes, dict(zip(*(each.tolist() for each in np.unique(used, return_counts=True)), strict=True))
    codes[ignored] = MOST_VALUES
    counts = np.bincount(codes.ravel())[:MOST_VALUES]
    return codes, {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def _numbers(mask: NDArray[Any], masks: Masks) -> tuple[NDArray[np.float32], Any]:
    """Return numbers float32 `[H, W, T]`, NaN without a label; their count, and sum, minimum and maximum."""
    if mask.shape[2] != len(masks.targets):
        raise _Unusable(f"{OF_MASK}one with {mask.shape[2]} numbers of a pixel, not {len(masks.targets)}")
    values = mask.astype(np.float32)
    if masks.ignore is not None:
        values[mask == masks.ignore] = np.nan
    labeled = ~np.isnan(values).any(axis=2)
    values[~labeled] = np.nan
    if np.isinf(values).any():
        raise _Unusable(f"{OF_MASK}one with infinite numbers")
    used = values[labeled].astype(np.float64)
    if len(used) and np.abs(used).max() > LARGEST:
        raise _Unusable(f"{OF_MASK}one with numbers larger than {LARGEST:g}")
    if not len(used):
        return values, None
    return values, (len(used), used.mean(0), used.min(0), used.max(0))


def _of_classes(seen: Sequence[Mapping[int, int]], classes: Classes) -> NDArray[np.int64]:
    """Return the number of pixels of each class in each map, int64 `[K, C]`."""
    counts = np.zeros((len(seen), len(classes.names)), np.int64)
    for row, pixels in enumerate(seen):
        for value, number in pixels.items():
            if classes.of_value[value] >= 0:
                counts[row, classes.of_value[value]] += number
    return counts


def _of_numbers(seen: Sequence[Any], targets: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the number of pixels with a label, `[K, 1]`, and the mean of each number `[K, T]`.

    Raises
    ------
    DataError
        No pixel has a label, or all numbers of a target are equal.
    """
    known = [each for each in seen if each is not None]
    if seen and not known:
        raise DataError(
            "masks",
            expected="pixels with a label",
            got="none: all are NaN or ignored",
            todo="Correct the masks, or dataset.ignore.",
        )
    if known:
        spread = np.max([each[3] for each in known], axis=0) - np.min([each[2] for each in known], axis=0)
        constant = [name for name, width in zip(targets, spread, strict=True) if not width]
        if constant:
            raise DataError(
                f"masks: {first_five(constant)}",
                expected="numbers that differ",
                got="the same number in all pixels",
                todo="There is nothing to predict: leave it out.",
            )
    counts = np.array([[0 if each is None else each[0]] for each in seen], np.int64).reshape(-1, 1)
    means = [np.zeros(len(targets)) if each is None else each[1] for each in seen]
    return counts, np.array(means).reshape(-1, len(targets))


def _rewrite(path: Path, index: NDArray[np.int16], pixels: int) -> None:
    """Replace the uint16 values in a `.npy` file by int16 indices of classes, in place."""
    with path.open("r+b") as file:
        write_header(file, (pixels,), "<i2")
        for start, part in _parts(file):
            file.seek(start)
            file.write(index[part].astype("<i2").data)


def _parts(file: IO[bytes]) -> Iterator[tuple[int, NDArray[np.uint16]]]:
    while True:
        start = file.tell()
        content = file.read(2 * PART)
        if not content:
            return
        yield start, np.frombuffer(content, "<u2")
        file.seek(start + len(content))

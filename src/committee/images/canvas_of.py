"""The canvas of one image in NumPy, for threads that decode images: the same bytes as `view.frame`."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_UNIT = 1 << 15
_BLOCK, _INPUTS = 4, 32
"""Output rows that are computed at once: at least 4, and more where they need fewer than 32 input rows."""
_PRODUCT = 1 << 18
"""Largest product of the sides of matrices that are multiplied: OpenBLAS starts no threads, and the data
stay in the cache of a core."""

PRINT = 16
"""Bytes of the hash of an image."""

Pixels = NDArray[np.uint8]


def canvas_of(image: Pixels, size: int, fit: str) -> Pixels:
    """Resize one image to a square.

    Parameters
    ----------
    image : uint8 array `[c, H, W]`
    size : int
        Side of the square, in pixels.
    fit : {"crop", "squash", "pad"}
        Keep the central square, change the aspect ratio, or add black borders.

    Returns
    -------
    uint8 array `[c, size, size]`
        The bytes that `committee.images.view.frame` returns: all sums are exact (`committee.images.resize`).
        For a single image it takes half the time or less, uses one thread, and imports no torch.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.images.canvas_of import canvas_of
    >>> canvas_of(np.array([[[0, 100, 200]]], np.uint8), 2, "squash")[0].tolist()
    [[38, 162], [38, 162]]
    """
    lengths: tuple[int, int] = image.shape[1:]
    longest = max(lengths) if fit == "pad" else 0
    scaled = [max(length * size // longest, 1) if longest else size for length in lengths]
    used = [min(lengths)] * 2 if fit == "crop" else lengths
    height, width = zip(used, scaled, strict=True)
    top, left = ((length - part) // 2 for length, part in zip(lengths, used, strict=True))
    part = image[:, top : top + used[0], left : left + used[1]]
    return _columns(_rows(part, *height, size), *width, size)


def print_of(pixels: NDArray[Any]) -> bytes:
    """Return a hash of an array, 16 bytes, which is equal for equal ones."""
    found = hashlib.sha256(repr(pixels.shape).encode())
    found.update(np.ascontiguousarray(pixels).data)
    return found.digest()[:PRINT]


def squares_of(image: Pixels, kinds: Sequence[tuple[int, str]]) -> tuple[bytes, list[Pixels]]:
    """Return the hash of an image `[c, H, W]`, and its canvas `[size, size, c]` of each size and fit."""
    squares = (canvas_of(image, size, fit) for size, fit in kinds)
    return print_of(image), [np.ascontiguousarray(square.transpose(1, 2, 0)) for square in squares]


def _rows(image: Pixels, length: int, scaled: int, size: int) -> Pixels:
    """Resize the rows `[c, length, W]` of an image to `scaled`, in the center of `[c, size, W]`."""
    if length == size == scaled:
        return image
    weights, places = _weights(length, scaled, size)
    count = weights.shape[2]
    result = np.empty((len(image), size, image.shape[2]), np.uint8)
    step = max(1, _PRODUCT // (weights.shape[1] * count))
    for left in range(0, image.shape[2], step):
        columns = slice(left, left + step)
        for rows, start, output in zip(weights, places, _outputs(weights, size), strict=True):
            pixels = image[:, start : start + count, columns].astype(np.float32)
            result[:, output, columns] = _rounded(rows[: output.stop - output.start] @ pixels)
    return result


def _columns(image: Pixels, length: int, scaled: int, size: int) -> Pixels:
    """Resize the columns `[c, H, length]` of an image to `scaled`, in the center of `[c, H, size]`."""
    if length == size == scaled:
        return np.ascontiguousarray(image)
    weights, places = _weights(length, scaled, size)
    count = weights.shape[2]
    lines = image.reshape(-1, length)
    result = np.empty((len(lines), size), np.uint8)
    for columns, start, output in zip(weights, places, _outputs(weights, size), strict=True):
        pixels = lines[:, start : start + count].astype(np.float32)
        result[:, output] = _rounded(pixels @ columns[: output.stop - output.start].T)
    return result.reshape(*image.shape[:2], size)


def _rounded(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.rint(sums, out=sums)


def _outputs(weights: NDArray[np.float32], size: int) -> list[slice]:
    """Return the output pixels of each block."""
    number, block = weights.shape[:2]
    return [slice(first * block, min((first + 1) * block, size)) for first in range(number)]


@functools.lru_cache(maxsize=128)
def _weights(length: int, scaled: int, size: int) -> tuple[NDArray[np.float32], list[int]]:
    """Return the weights of the filter, `[blocks, block, L]`, and the first of the L inputs of each block.

    See `committee.images.resize.filter_weights`, which does the same in torch, for any part of an image.
    """
    block = min(size, max(_BLOCK, _INPUTS * scaled // length))
    wide = max(length, scaled)
    count = min(length, ((block - 1) * length + 2 * wide) // scaled + 2)
    number = -(-size // block)
    outputs: NDArray[Any] = np.arange(number * block).reshape(number, block, 1) - (size - scaled) // 2
    first = ((2 * outputs[:, :1] + 1) * length - 2 * wide - scaled) // (2 * scaled) + 1
    first = first.clip(0, length - count)
    distance = np.abs((2 * (first + np.arange(count)) + 1) * scaled - (2 * outputs + 1) * length)
    sums = ((2 * wide - distance).clip(0) * ((outputs >= 0) & (outputs < scaled))).cumsum(2)
    total = sums[..., -1:].clip(1)
    weights = np.diff((sums * (2 * _UNIT) + total) // (2 * total), axis=2, prepend=0)
    return (weights / _UNIT).astype(np.float32), first[:, 0, 0].tolist()

"""Limits for small files that would occupy much memory, such as archives and columns of text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HARMLESS = 2**28
RATIO = 100
"""Largest ratio of unpacked to packed size; scores hardly compress, and names about tenfold."""


def check_growth(packed: int, unpacked: int) -> None:
    """Raise ValueError for a small file that would occupy much memory.

    Parameters
    ----------
    packed, unpacked : int
        Size in bytes in the file and in memory. Up to 256 MiB are always allowed, more if the file has at
        least a hundredth of it.
    """
    if unpacked > HARMLESS and unpacked > RATIO * packed:
        raise ValueError(f"{packed} bytes that unpack to {unpacked}")


def text_array(texts: Sequence[str]) -> NDArray[np.str_]:
    """Return an array of text, in which each element occupies the memory of the longest.

    Raises
    ------
    ValueError
        A few texts are so long that the array would be too large, or a text is not valid Unicode.
    """
    lengths = [len(text) for text in texts]
    check_growth(4 * sum(lengths), 4 * len(texts) * max(lengths, default=0))
    # NumPy pads with NUL, so a text that ends with NUL would change.
    if any("\0" in text for text in texts):
        raise ValueError("text with a NUL character")
    return check_text(np.array(texts, dtype=np.str_))


def check_text(array: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return the array; raise ValueError if it contains code points that are not valid Unicode."""
    codes = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="), copy=False).view(np.uint32)
    if (codes > 0x10FFFF).any() or ((codes >= 0xD800) & (codes <= 0xDFFF)).any():
        raise ValueError("text that is not valid Unicode")
    return array

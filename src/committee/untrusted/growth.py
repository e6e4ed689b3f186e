"""How much a small file may grow to in memory: an archive, a column of text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HARMLESS = 2**28
RATIO = 100
"""Honest files stay below: scores hardly shrink, and names do so tenfold."""


def check_growth(packed: int, unpacked: int) -> None:
    """Refuse what is small outside and huge inside.

    Parameters
    ----------
    packed, unpacked : int
        Bytes in the file, and in memory. Up to 256 MiB may come from anything, more from a hundredth of it.

    Raises
    ------
    ValueError
        It grows too much.
    """
    if unpacked > HARMLESS and unpacked > RATIO * packed:
        raise ValueError(f"{packed} bytes that would unpack to {unpacked}")


def text_array(texts: Sequence[str]) -> NDArray[np.str_]:
    """Return texts as an array, in which each takes the room of the longest.

    Raises
    ------
    ValueError
        A few are so long that the others would fill the memory; or a text is no valid Unicode.
    """
    lengths = [len(text) for text in texts]
    check_growth(4 * sum(lengths), 4 * len(texts) * max(lengths, default=0))
    # An array pads with NUL, so a text that ends in one would be another when it is read again.
    if any("\0" in text for text in texts):
        raise ValueError("a NUL in a text")
    return check_text(np.array(texts, dtype=np.str_))


def check_text(array: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return the array, unless some of it is no Unicode that could be written out again.

    Raises
    ------
    ValueError
        A number in it is no character, or half of one.
    """
    codes = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="), copy=False).view(np.uint32)
    if (codes > 0x10FFFF).any() or ((codes >= 0xD800) & (codes <= 0xDFFF)).any():
        raise ValueError("text that is no Unicode")
    return array

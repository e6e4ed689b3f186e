"""Decoding of masks, the labels of pixels, from PNG, TIFF and `.npy`. This module does not import torch."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from committee.errors import printable
from committee.images.decode import DEPTHS, MAX_PIXELS, ImageError, Unsupported, begin, open_file, reason_of
from committee.untrusted.npy import load_npy

SUFFIXES = (".png", ".tif", ".tiff", ".npy")
Source = Path | bytes | NDArray[Any]
Sources = Sequence[Path | bytes] | NDArray[Any]
"""Files of masks, their contents, or an array `[N, H, W]` or `[N, H, W, T]`."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FORMATS = ((b"\x89PNG\r\n\x1a\n", PngImageFile), *((magic, TiffImageFile) for magic in _TIFF))
_ARRAY = b"\x93NUMPY"
_TYPES = {"1": "u1", "L": "u1", "P": "u1", "F": "f4"}
"""Type of the values of Pillow's modes with one value of a pixel, of at most 8 bits or floating-point."""
MOST_TARGETS = 64
OF_MASK = "its mask is "
"""Start of the reasons that concern the mask of an image, not the image."""


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of N images, and how their values are read.

    Parameters
    ----------
    sources : sequence of N Path or bytes, or array `[N, H, W]` or `[N, H, W, T]`
    places : tuple of Path
        Folders that may contain `classes.txt` or `classes.json`.
    classes : mapping of int to str
        The class of each value. Values of one name are one class; empty if the values themselves are the
        classes, and for numbers.
    targets : tuple of str
        Names of the numbers of a pixel; empty for classes, and where a reader was given none.
    ignore : float, optional
        The value of pixels without a label.
    """

    sources: Sources
    places: tuple[Path, ...] = ()
    classes: Mapping[int, str] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    ignore: float | None = None

    @property
    def meaning(self) -> list[Any]:
        """What the values stand for, as JSON values: two data sets with the same files may differ in it."""
        return [[[value, name] for value, name in self.classes.items()], list(self.targets), self.ignore]

    def rows(self, rows: Sequence[int]) -> Masks:
        """Return the masks of some of the images."""
        sources = self.sources
        picked = sources[rows] if isinstance(sources, np.ndarray) else [sources[row] for row in rows]
        return replace(self, sources=picked)

    def name(self, row: int, image: str) -> str:
        """Return the name of a mask for messages: its path, or that of the mask of an image."""
        source = self.sources[row]
        return source.as_posix() if isinstance(source, Path) else f"mask of {image}"


class MaskError(ImageError):
    """A mask that cannot be decoded.

    Attributes
    ----------
    reason : str
        The reason, as listed in `quarantine.csv`.
    has_colors : bool
        Whether a pixel has several values, such as those of a color.
    """

    has_colors: bool = False


class _Colors(Unsupported):
    """An image with several values of a pixel."""


class Header(NamedTuple):
    """What a mask contains: the type of its values, and how many a pixel has."""

    dtype: np.dtype[Any]
    targets: int


def header_of(source: Source, name: str = "") -> Header:
    """Return what a mask contains; of a file, only the header is read.

    Raises
    ------
    MaskError
        It is no mask, or damaged.
    """
    with _opened(source, name) as found:
        if isinstance(found, Image.Image):
            return Header(np.dtype(_TYPES.get(_mode(found), "i4")), 1)
        return Header(found.dtype, 1 if found.ndim == 2 else found.shape[2])


def decode_mask(source: Source, name: str = "") -> NDArray[Any]:
    """Decode one mask.

    Parameters
    ----------
    source : path, bytes of a file, or array `[H, W]` or `[H, W, T]`
        PNG or TIFF with one channel, or `.npy`; the format is detected from the content. Of a palette, the
        indices are read, and of gray the values in the file, of 1 to 32 bits.
    name : str, optional
        Name of the mask in errors; the path by default.

    Returns
    -------
    uint8, int32, or float32 `[H, W, T]`
        Whole numbers of at most 8 bits, of more bits, or floating-point numbers; T is 1 but for arrays.

    Raises
    ------
    MaskError
        The mask is missing or damaged, has colors or several pages, or more than 50 million pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.images.masks import decode_mask
    >>> decode_mask(np.array([[0, 1, 2], [1, 2, 0]])).shape
    (2, 3, 1)
    """
    with _opened(source, name) as found:
        values = _values(found) if isinstance(found, Image.Image) else found
        return _plain(values[..., None] if values.ndim == 2 else values)


@contextlib.contextmanager
def _opened(source: Source, name: str) -> Iterator[Image.Image | NDArray[Any]]:
    """Yield the array, or the image in a file, of which only the header has been read."""
    try:
        if isinstance(source, np.ndarray):
            yield _checked(source)
            return
        with io.BytesIO(source) if isinstance(source, bytes) else open_file(source) as file:
            is_array = file.read(len(_ARRAY)) == _ARRAY
            file.seek(0)
            if is_array and isinstance(source, Path):
                yield _checked(load_npy(source, mmap=True))
            else:
                yield begin(file, _FORMATS)
    except MemoryError:
        raise
    except Exception as error:  # a hostile file may raise anything in Pillow
        reason = reason_of(error).replace("something else", "neither PNG nor TIFF")
        raise mask_error(name or str(source), reason, isinstance(error, _Colors)) from error


def mask_error(name: str, reason: str, has_colors: bool = False) -> MaskError:
    """Return the error for a mask that cannot be decoded."""
    error = MaskError(
        printable(name),
        expected="a mask: a PNG or TIFF file with one channel, or a .npy file",
        got=reason,
        todo="Replace it, or leave it and its image out.",
    )
    error.reason, error.has_colors = OF_MASK + reason, has_colors
    return error


def _checked(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in "buif":
        raise Unsupported(f"an array of {array.dtype}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and not 0 < array.shape[2] <= MOST_TARGETS):
        raise Unsupported(f"an array {list(array.shape)}, not [H, W] or [H, W, targets]")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise Unsupported(f"more than {MAX_PIXELS // 10**6} million pixels")
    if array.ndim == 3 and array.shape[2] > 1 and array.dtype.kind != "f":
        raise _Colors(
            f"an array of {array.dtype} {list(array.shape)}, with {array.shape[2]} values of a pixel"
        )
    return array


def _mode(image: Image.Image) -> str:
    """Return Pillow's mode of an image with one value of a pixel."""
    bands = image.getbands()
    if len(bands) > 1:
        raise _Colors(f"an image with {len(bands)} channels ({''.join(bands)}), whose pixels have colors")
    return image.mode


def _values(image: Image.Image) -> NDArray[Any]:
    """Return the values of a file: indices of a palette, and gray levels without Pillow's factor."""
    _mode(image)
    tile: Any = getattr(image, "tile", None)
    raw = tile[0][3] if tile else ""
    factor = DEPTHS.get(raw if isinstance(raw, str) else str(raw[0]), 1)
    image.load()
    values = np.asarray(image)
    return values if image.mode in ("1", "P") or factor <= 1 else values // np.uint8(factor)


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Return values as uint8, int32 or float32, which a worker can send."""
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    if values.dtype.itemsize == 1 and values.dtype.kind in "bu":
        return values.astype(np.uint8)
    if values.size and (values.min() < -(2**31) or values.max() >= 2**31):
        raise Unsupported("an array with values of more than 31 bits")
    return values.astype(np.int32)

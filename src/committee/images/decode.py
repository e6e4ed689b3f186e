"""Decoding of JPEG, PNG and WebP images to pixels. This module does not import torch."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from committee.errors import DataError, missing, printable, system_reason

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MAX_PIXELS = 50_000_000
_MAX_BYTES = 8 * MAX_PIXELS
_TOO_MANY = f"more than {MAX_PIXELS // 10**6} million pixels"
ABSENT = "the file does not exist"
Source = Path | str | bytes | Image.Image | NDArray[np.uint8]

_MODES = {1: "L", 3: "RGB"}
_FORMATS = ((b"\xff\xd8\xff", JpegImageFile), (b"\x89PNG\r\n\x1a\n", PngImageFile), (b"RIFF", WebPImageFile))
_OTHERS = (
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"%!PS", "an EPS file"),
    (b"\xc5\xd0\xd3\xc6", "an EPS file"),
    (b"%PDF", "a PDF file"),
    (b"icns", "an ICNS icon"),
    (b"\0\0\1\0", "an ICO icon"),
    (b"PK\3\4", "a ZIP file"),
    (b"version https://git-lfs", "a Git LFS pointer in place of the file"),
    (b"<", "an HTML or XML file"),
)


def decode(source: Source, channels: int = 3, *, name: str = "") -> NDArray[np.uint8]:
    """Decode one image.

    Parameters
    ----------
    source : path, bytes of a file, PIL image, or uint8 array `[H, W]` or `[H, W, 1 | 3 | 4]`
        The format is detected from the content, not from the file's suffix. The first picture of a JPEG
        with several (such as a preview or a depth map) is used.
    channels : int
        1 (luma, ITU-R 601) or 3 (RGB).
    name : str, optional
        Name of the image in errors; the path by default.

    Returns
    -------
    uint8 array `[channels, H, W]`
        Rotated by its EXIF orientation; transparent parts are white; of 16 bits, the upper 8.

    Raises
    ------
    ImageError
        The image is missing, damaged or animated, has another format, or has more than 50 million pixels
        (checked in its header, before decoding).

    Examples
    --------
    >>> import numpy as np
    >>> from committee.images.decode import decode
    >>> decode(np.zeros((4, 6), np.uint8), channels=3).shape
    (3, 4, 6)
    """
    try:
        with _open(source) as image:
            ImageOps.exif_transpose(image, in_place=True)
            pixels = np.asarray(_plain(image).convert(_MODES[channels]))
    except MemoryError:
        raise
    except Exception as error:  # a hostile file may raise anything in Pillow
        raise image_error(name or _name(source), _reason(error)) from error
    return np.array(pixels.transpose(2, 0, 1) if channels == 3 else pixels[None], order="C")


class ImageError(DataError):
    """An image that cannot be decoded.

    Attributes
    ----------
    reason : str
        The reason, as listed in `quarantine.csv`.

    See Also
    --------
    decode : Decode an image.
    """

    reason: str = ""


def image_error(name: str, reason: str) -> ImageError:
    """Return the error for an image that cannot be decoded."""
    todo = "Replace it or leave it out."
    error = (
        missing(ImageError, name, todo)
        if reason == ABSENT
        else ImageError(printable(name), expected="a JPEG, PNG or WebP image", got=reason, todo=todo)
    )
    error.reason = reason
    return error


def find_images(folder: Path) -> list[Path]:
    """Return all files below `folder` with the suffix of an image, except hidden ones, sorted by posix path.

    Broken links and pipes are included, so that reading them raises an error with their name.

    Raises
    ------
    OSError
        A folder cannot be read.
    """
    found = []
    for top, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        images = (name for name in files if not name.startswith(".") and name.lower().endswith(SUFFIXES))
        found += [Path(top, name) for name in images]
    return sorted(found, key=Path.as_posix)


def open_file(path: Path) -> io.BufferedReader:
    """Open a file for reading; a pipe is not opened, since that would wait for a writer.

    Raises
    ------
    OSError
        The file does not exist, is not a regular file, or cannot be read.
    """
    if not path.is_file() and os.path.lexists(path):
        raise OSError(errno.EINVAL, "not a file", str(path))
    return path.open("rb")


class _Unsupported(ValueError):
    """An image that is not decoded; the message describes what it is."""


@contextlib.contextmanager
def _open(source: Source) -> Iterator[Image.Image]:
    """Yield the image in `source`; of a file, only the header has been read."""
    if isinstance(source, Image.Image):
        yield source.copy()
    elif isinstance(source, np.ndarray):
        if source.dtype != np.uint8:
            raise _Unsupported(f"an array of {source.dtype}, not of uint8")
        yield Image.fromarray(source[..., 0] if source.ndim == 3 and source.shape[2] == 1 else source)
    else:
        with io.BytesIO(source) if isinstance(source, bytes) else open_file(Path(source)) as file:
            yield _begin(file)


def _begin(file: IO[bytes]) -> Image.Image:
    """Return the image in a file, before it is decoded.

    Pillow's own `open` would try the plugins of other formats, and accept 89 million pixels without a
    warning.
    """
    start = file.read(32)
    if file.seek(0, os.SEEK_END) > _MAX_BYTES:
        raise _Unsupported(f"a file of more than {_MAX_BYTES // 10**6} MB")
    file.seek(0)
    plugin = next((plugin for magic, plugin in _FORMATS if start.startswith(magic)), None)
    if plugin is None or (plugin is WebPImageFile and start[8:12] != b"WEBP"):
        raise _Unsupported(_kind(start))
    image = plugin(file)
    if image.width * image.height > MAX_PIXELS:
        raise _Unsupported(f"{_TOO_MANY}: {image.width} x {image.height}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise _Unsupported(f"an animation of {frames} frames")
    return image


def _plain(image: Image.Image) -> Image.Image:
    """Return the image with 8 bits per channel and without transparency."""
    if image.mode.startswith("I"):
        # Pillow clips 16-bit values at 255 when it converts them, which would make a radiograph white.
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        colored = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colored.size, "white"), colored)
    return image


def _name(source: Source) -> str:
    return str(source) if isinstance(source, str | Path) else "image"


def _kind(start: bytes) -> str:
    """Describe a file by its first bytes."""
    if not start:
        return "an empty file"
    if start[4:8] == b"ftyp":
        return "a HEIC, AVIF or video file"
    return next((kind for magic, kind in _OTHERS if start.startswith(magic)), "something else")


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return ABSENT
    if isinstance(error, OSError) and error.errno:
        return system_reason(error)
    if isinstance(error, Image.DecompressionBombError):
        return _TOO_MANY
    if isinstance(error, _Unsupported):
        return str(error)
    reason = printable(str(error).partition("\n")[0].partition(" (")[0].rstrip("."))
    return f"a damaged file: {reason or type(error).__name__}"


def _raise(error: OSError) -> None:
    raise error

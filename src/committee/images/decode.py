"""Image files, as pixels: JPEG, PNG and WebP, upright, in one channel or three. Needs no torch."""

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

from committee.errors import DataError, printable

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MAX_PIXELS = 50_000_000
_MAX_BYTES = 8 * MAX_PIXELS
_TOO_MANY = f"more than {MAX_PIXELS // 10**6} million pixels"
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
    (b"version https://git-lfs", "a pointer of Git LFS, without its file"),
    (b"<", "an HTML or XML file"),
)


def decode(source: Source, channels: int = 3, *, name: str = "") -> NDArray[np.uint8]:
    """Return the pixels of one image.

    Parameters
    ----------
    source : path, bytes of a file, PIL image, or uint8 array `[H, W]` or `[H, W, 1 | 3 | 4]`
        The content decides the format, not the file's suffix. Of a JPEG that holds several pictures (a
        preview, a map of depth) it is the first.
    channels : int
        1 (luma, ITU-R 601) or 3 (RGB).
    name : str, optional
        What errors call the image where `source` is not a path.

    Returns
    -------
    uint8 array `[channels, H, W]`
        Upright by its EXIF orientation; transparent parts on white; 16 bits cut to the upper 8.

    Raises
    ------
    DataError
        It is no such image, it is damaged or animated, or has more than 50 million pixels (which its header
        tells, before anything is decoded); the sentence names the file.
    """
    try:
        with _open(source) as image:
            ImageOps.exif_transpose(image, in_place=True)
            pixels = np.asarray(_plain(image).convert(_MODES[channels]))
    except MemoryError:
        raise
    except Exception as error:  # a hostile file may raise anything in Pillow
        raise refusal(name or _name(source), _reason(error)) from error
    return np.array(pixels.transpose(2, 0, 1) if channels == 3 else pixels[None], order="C")


def refusal(name: str, got: str) -> DataError:
    """Return the error of an image that cannot be used."""
    return DataError(
        printable(name), expected="a JPEG, PNG or WebP image", got=got, todo="Replace it or leave it out."
    )


def find_images(folder: Path) -> list[Path]:
    """Return all files below `folder` that are named like images, sorted by posix path, but for hidden ones.

    Links to nothing and pipes are among them, so that they are refused by name when they are read.

    Raises
    ------
    OSError
        A folder below cannot be read.
    """
    found = []
    for top, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        images = (name for name in files if not name.startswith(".") and name.lower().endswith(SUFFIXES))
        found += [Path(top, name) for name in images]
    return sorted(found, key=Path.as_posix)


def open_file(path: Path) -> io.BufferedReader:
    """Open a file to be read; a pipe, which would wait for a writer, is not opened.

    Raises
    ------
    OSError
        It is not there, no file, or may not be read.
    """
    if not path.is_file() and os.path.lexists(path):
        raise OSError(errno.EINVAL, "not a file", str(path))
    return path.open("rb")


class _Unfit(ValueError):
    """What was given is not to be decoded; the text says what it is."""


@contextlib.contextmanager
def _open(source: Source) -> Iterator[Image.Image]:
    """Yield the image in `source`: of a file the header alone is read by then."""
    if isinstance(source, Image.Image):
        yield source.copy()
    elif isinstance(source, np.ndarray):
        if source.dtype != np.uint8:
            raise _Unfit(f"an array of {source.dtype}, not of uint8")
        yield Image.fromarray(source[..., 0] if source.ndim == 3 and source.shape[2] == 1 else source)
    else:
        with io.BytesIO(source) if isinstance(source, bytes) else open_file(Path(source)) as file:
            yield _begin(file)


def _begin(file: IO[bytes]) -> Image.Image:
    """Return the image in a file, not decoded yet.

    Pillow's own `open` would ask the plugins of other formats, and let pass 89 million pixels without a word.
    """
    start = file.read(32)
    if file.seek(0, os.SEEK_END) > _MAX_BYTES:
        raise _Unfit(f"a file of more than {_MAX_BYTES // 10**6} MB")
    file.seek(0)
    plugin = next((plugin for magic, plugin in _FORMATS if start.startswith(magic)), None)
    if plugin is None or (plugin is WebPImageFile and start[8:12] != b"WEBP"):
        raise _Unfit(_kind(start))
    image = plugin(file)
    if image.width * image.height > MAX_PIXELS:
        raise _Unfit(f"{_TOO_MANY}: {image.width} x {image.height}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise _Unfit(f"an animation of {frames} frames")
    return image


def _plain(image: Image.Image) -> Image.Image:
    """Return the image in 8 bits without transparency."""
    if image.mode.startswith("I"):
        # Pillow clips 16-bit values at 255 when it converts them, which turns a radiograph white.
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        colored = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colored.size, "white"), colored)
    return image


def _name(source: Source) -> str:
    return str(source) if isinstance(source, str | Path) else "image"


def _kind(start: bytes) -> str:
    """Say what a file is that starts so."""
    if not start:
        return "an empty file"
    if start[4:8] == b"ftyp":
        return "a HEIC, AVIF or video file"
    return next((kind for magic, kind in _OTHERS if start.startswith(magic)), "something else")


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, OSError) and error.errno:
        return str(error.strerror)
    if isinstance(error, Image.DecompressionBombError):
        return _TOO_MANY
    if isinstance(error, _Unfit):
        return str(error)
    reason = printable(str(error).partition("\n")[0].partition(" (")[0].rstrip("."))
    return f"a damaged file: {reason or type(error).__name__}"


def _raise(error: OSError) -> None:
    raise error

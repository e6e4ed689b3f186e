"""Decoding of JPEG, PNG and WebP images to pixels. This module does not import torch."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from committee.base.text import count
from committee.errors import DataError, missing, printable, system_reason
from committee.images.jpeg import fast_pixels

log = logging.getLogger(__name__)

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MAX_PIXELS = 50_000_000
_MAX_BYTES = 8 * MAX_PIXELS
_TOO_MANY = f"more than {MAX_PIXELS // 10**6} million pixels"
ABSENT = "the file does not exist"
Formats = Sequence[tuple[bytes, Any]]
Source = Path | str | bytes | Image.Image | NDArray[np.uint8]

_MODES = {1: "L", 3: "RGB"}
_FORMATS = ((b"\xff\xd8\xff", JpegImageFile), (b"\x89PNG\r\n\x1a\n", PngImageFile), (b"RIFF", WebPImageFile))
_START = 32
"""Bytes of a file that tell its format."""
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: (1, -1, False),
    3: (-1, -1, False),
    4: (-1, 1, False),
    5: (1, 1, True),
    6: (-1, 1, True),
    7: (-1, -1, True),
    8: (1, -1, True),
}
"""What undoes each EXIF orientation: steps down and across, and whether the axes are exchanged then."""
DEPTHS = {"1": 255, "L;2": 85, "L;4": 17, "RGB;16B": 1 / 256}
"""Factor from values in a PNG file to Pillow's pixels, by the raw mode of the file."""
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
        Rotated by its EXIF orientation; other metadata is ignored. Transparent parts are white. Of 16 bits,
        the upper 8 are kept if a value needs more than 12 bits; values of up to 12 bits, as radiographs have,
        keep the upper 8 of 12, and values of up to 8 bits are unchanged.

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
            pixels = _pixels(image, _MODES[channels])
            planes = pixels.transpose(2, 0, 1) if channels == 3 else pixels[None]
            return np.array(_upright(planes, image), order="C")
    except MemoryError:
        raise
    except Exception as error:  # a hostile file may raise anything in Pillow
        raise image_error(name or _name(source), reason_of(error)) from error


def size_of(source: Source) -> tuple[int, int] | None:
    """Return width and height from the header of an image, before its rotation, or None if it is broken."""
    try:
        with _open(source) as image:
            return image.size
    except MemoryError:
        raise
    except Exception:
        return None


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


class Found(NamedTuple):
    """The images below a folder, and the other files there with a description of each."""

    images: list[Path]
    others: dict[Path, str]


def find_images(folder: Path) -> Found:
    """Return all images below `folder`, except hidden ones, sorted by posix path.

    An image has the suffix or the content of a JPEG, PNG or WebP file. Broken links and pipes with such a
    suffix are included, so that reading them raises an error with their name.

    Raises
    ------
    OSError
        A folder or a file cannot be read.
    """
    images, others = [], {}
    for top, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(top, name) for name in files if not name.startswith(".")):
            if path.name.lower().endswith(SUFFIXES):
                images.append(path)
            elif path.is_file():
                with path.open("rb") as file:
                    start = file.read(_START)
                if other := kind_of_other(start):
                    others[path] = other
                else:
                    images.append(path)
    return Found(sorted(images, key=Path.as_posix), others)


def kind_of_other(content: bytes) -> str:
    r"""Return what a file is that begins like no image of `decode`, by its first bytes; '' for others.

    Examples
    --------
    >>> from committee.images.decode import kind_of_other
    >>> kind_of_other(b"GIF89a..."), kind_of_other(b"\xff\xd8\xff\xe0...")
    ('a GIF image', '')
    """
    start = content[:_START]
    return "" if _plugin(start, _FORMATS) else _kind(start)


def warn_of_others(folder: Path, others: Mapping[Path, str]) -> None:
    """Log how many files of a folder are left out since they are not images, and the first of them."""
    if not others:
        return
    # Images of another format come first, and are worth a warning.
    ordered = sorted(others, key=lambda path: ("image" not in others[path], path.as_posix()))
    named = [f"{path.relative_to(folder).as_posix()} ({others[path]})" for path in ordered[:5]]
    more = f" and {len(ordered) - 5} more" if len(ordered) > 5 else ""
    log.log(
        logging.WARNING if "image" in others[ordered[0]] else logging.INFO,
        "%s: left out %s, not JPEG, PNG or WebP: %s",
        printable(folder.as_posix()),
        count(len(others), "file"),
        printable(", ".join(named)) + more,
    )


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


class Unsupported(ValueError):
    """An image that is not decoded; the message describes what it is."""


@contextlib.contextmanager
def _open(source: Source) -> Iterator[Image.Image]:
    """Yield the image in `source`; of a file, only the header has been read."""
    if isinstance(source, Image.Image):
        yield source.copy()
    elif isinstance(source, np.ndarray):
        if source.dtype != np.uint8:
            raise Unsupported(f"an array of {source.dtype}, not of uint8")
        yield Image.fromarray(source[..., 0] if source.ndim == 3 and source.shape[2] == 1 else source)
    else:
        with io.BytesIO(source) if isinstance(source, bytes) else open_file(Path(source)) as file:
            yield begin(file, _FORMATS)


def begin(file: IO[bytes], formats: Formats) -> Image.Image:
    """Return the image in a file, before it is decoded.

    Pillow's own `open` would try the plugins of other formats, and accept 89 million pixels without a
    warning.
    """
    start = file.read(_START)
    if file.seek(0, os.SEEK_END) > _MAX_BYTES:
        raise Unsupported(f"a file of more than {_MAX_BYTES // 10**6} MB")
    file.seek(0)
    plugin = _plugin(start, formats)
    if plugin is None:
        raise Unsupported(_kind(start))
    image = plugin(file)
    if image.width * image.height > MAX_PIXELS:
        raise Unsupported(f"{_TOO_MANY}: {image.width} x {image.height}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise Unsupported(f"an animation of {frames} frames")
    if isinstance(image, PngImageFile) and "transparency" in image.info and image.tile:
        _scale_transparency(image)
    return image


def _plugin(start: bytes, formats: Formats) -> Any:
    """Return Pillow's class for a file with these first bytes, or None."""
    plugin = next((plugin for magic, plugin in formats if start.startswith(magic)), None)
    return None if plugin is WebPImageFile and start[8:12] != b"WEBP" else plugin


def _scale_transparency(image: PngImageFile) -> None:
    """Convert the transparent color of a PNG from the depth of the file to that of Pillow's pixels."""
    scale = DEPTHS.get(str(image.tile[0][3]))
    color = image.info["transparency"]
    if scale is not None and isinstance(color, int):
        image.info["transparency"] = int(color * scale)
    elif scale is not None and isinstance(color, tuple):
        image.info["transparency"] = tuple(int(value * scale) for value in color)


def _pixels(image: Image.Image, mode: str) -> NDArray[np.uint8]:
    """Return the pixels of an image, `[H, W]` of mode L and `[H, W, 3]` of RGB, before its rotation."""
    found = fast_pixels(image) if isinstance(image, JpegImageFile) else None
    if found is not None and image.mode == mode:
        return found
    if found is None:
        image.load()
    plain = _plain(image) if found is None else Image.fromarray(found)
    return np.asarray(plain if plain.mode == mode else plain.convert(mode))


def _plain(image: Image.Image) -> Image.Image:
    """Return the image with 8 bits per channel and without transparency."""
    if image.mode.startswith("I"):
        # Pillow clips 16-bit values at 255 when it converts them, which would make a radiograph white.
        values = np.asarray(image).clip(0, 2**16 - 1)
        depth = next(bits for bits in (8, 12, 16) if values.max(initial=0) < 2**bits)
        gray = (values >> (depth - 8)).astype(np.uint8)
        gray[values == image.info.get("transparency", -1)] = 255
        return Image.fromarray(gray)
    if "A" in image.getbands() or "transparency" in image.info:
        colored = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colored.size, "white"), colored)
    return image


def _upright(planes: NDArray[np.uint8], image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels `[c, H, W]` of an image, rotated by its EXIF orientation, if that can be read."""
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # broken metadata may raise anything, and is no part of the picture
        return planes
    if not isinstance(orientation, int) or orientation not in _UPRIGHT:
        return planes
    down, across, exchanged = _UPRIGHT[orientation]
    turned = planes[:, ::down, ::across]
    return turned.swapaxes(1, 2) if exchanged else turned


def _name(source: Source) -> str:
    return str(source) if isinstance(source, str | Path) else "image"


def _kind(start: bytes) -> str:
    """Describe a file by its first bytes."""
    if not start:
        return "an empty file"
    if start[4:8] == b"ftyp":
        return "a HEIC, AVIF or video file"
    return next((kind for magic, kind in _OTHERS if start.startswith(magic)), "something else")


def reason_of(error: Exception) -> str:
    """Return why an image cannot be decoded, as listed in `quarantine.csv`."""
    if isinstance(error, FileNotFoundError):
        return ABSENT
    if isinstance(error, OSError) and error.errno:
        return system_reason(error)
    if isinstance(error, Image.DecompressionBombError):
        return _TOO_MANY
    if isinstance(error, Unsupported):
        return str(error)
    reason = printable(str(error).partition("\n")[0].partition(" (")[0].rstrip("."))
    return f"a damaged file: {reason or type(error).__name__}"


def _raise(error: OSError) -> None:
    raise error

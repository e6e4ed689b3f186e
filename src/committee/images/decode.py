"""Image files, as pixels: JPEG, PNG and WebP, upright, in one channel or three. Needs no torch."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from committee.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
Source = Path | str | bytes | Image.Image | NDArray[np.uint8]

_MODES = {1: "L", 3: "RGB"}
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


def decode(source: Source, channels: int = 3, *, name: str = "") -> NDArray[np.uint8]:
    """Return the pixels of one image.

    Parameters
    ----------
    source : path, bytes of a file, PIL image, or uint8 array `[H, W]` or `[H, W, 1 | 3 | 4]`
        The content decides the format, not the file's suffix.
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
        It is no such image, or it is damaged; the sentence names the file.
    """
    try:
        with _open(source) as image:
            upright = ImageOps.exif_transpose(image)
            pixels = np.asarray(_plain(upright).convert(_MODES[channels]))
    except _UNREADABLE as error:
        raise DataError(
            name or _name(source), expected="a JPEG, PNG or WebP image", got=_reason(error),
            todo="Replace it or leave it out.",
        ) from error  # fmt: skip
    return np.array(pixels.transpose(2, 0, 1) if channels == 3 else pixels[None], order="C")


def find_images(folder: Path) -> list[Path]:
    """Return all image files below `folder`, sorted by posix path; hidden ones are left out."""
    found = (
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    return sorted((path for path in found if path.is_file()), key=Path.as_posix)


class _Unfit(ValueError):
    """What was given is no image; the text says what it is."""


def _open(source: Source) -> Image.Image:
    if isinstance(source, Image.Image):
        return source.copy()
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8:
            raise _Unfit(f"an array of {source.dtype}, not of uint8")
        return Image.fromarray(source[..., 0] if source.ndim == 3 and source.shape[2] == 1 else source)
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)


def _plain(image: Image.Image) -> Image.Image:
    """Return the image in 8 bits without transparency."""
    if image.mode.startswith("I"):
        # Pillow clips 16-bit values at 255 when it converts them, which turns a radiograph white.
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)
    return image


def _name(source: Source) -> str:
    return str(source) if isinstance(source, str | Path) else "image"


def _reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnidentifiedImageError):
        return "something else"
    reason = str(error).partition("\n")[0].partition(" (")[0].rstrip(".")
    return reason if isinstance(error, _Unfit) else f"a damaged file: {reason or type(error).__name__}"

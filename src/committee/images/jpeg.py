"""JPEG files decoded by simplejpeg, where it is installed and returns the same pixels as Pillow."""

from __future__ import annotations

import functools
import importlib
import io
import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

log = logging.getLogger(__name__)

_SAMPLINGS = ("444", "422", "420", "440", "411")
_KINDS = {"L": ("GRAY", "Gray", ("Gray",)), "RGB": ("RGB", "YCbCr", _SAMPLINGS)}
"""Of each mode of Pillow, what is requested of simplejpeg, and the colors and samplings that are verified."""


def fast_pixels(image: JpegImageFile) -> NDArray[np.uint8] | None:
    """Return the pixels of an image of which Pillow has read the header, or None if Pillow has to decode it.

    Pillow decodes whatever is not an ordinary, undamaged JPEG of gray or YCbCr with 8 bits: a warning of the
    library is enough. So the pixels, and the errors of broken files, do not depend on what is installed.

    Parameters
    ----------
    image : JpegImageFile
        Its pixels have not been loaded; its file can be read from the start.

    Returns
    -------
    uint8 array `[H, W]` or `[H, W, 3]`, or None

    See Also
    --------
    committee.images.decode.decode : Decode an image of any format.
    """
    library = _verified()
    if library is None or image.mode not in _KINDS or image.fp is None:
        return None
    image.fp.seek(0)
    return _decoded(library, image.fp.read(), image.mode, image.size)


def _decoded(library: Any, content: bytes, mode: str, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    wanted, colors, samplings = _KINDS[mode]
    try:
        height, width, found, sampling = library.decode_jpeg_header(content)
        if (width, height) != size or found != colors or sampling not in samplings:
            return None
        pixels: NDArray[np.uint8] = library.decode_jpeg(content, wanted, strict=True)
    except MemoryError:
        raise
    except Exception:  # what the library refuses is decoded, or named as damaged, by Pillow
        return None
    return pixels[..., 0] if mode == "L" else pixels


@functools.cache
def _verified() -> Any:
    """Return simplejpeg, or None if it is not installed or differs from Pillow on a few small files."""
    try:
        library: Any = importlib.import_module("simplejpeg")
        differing = [name for name, content in _samples(library).items() if not _agrees(library, content)]
    except ImportError:
        return None
    except Exception as error:  # a version with other functions
        differing = [f"{type(error).__name__}: {error}"]
    if differing:
        log.info("simplejpeg is not used, since it differs from Pillow: %s", ", ".join(differing))
        return None
    return library


def _samples(library: Any) -> dict[str, bytes]:
    """Return small JPEG files: each sampling, progressive ones, and one that lacks the last scan."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 180, 43)[:, None, None] + np.linspace(0, 40, 53)[:, None]
    pixels = (ramp + rng.integers(0, 36, (43, 53, 3))).astype(np.uint8)
    found: dict[str, bytes] = {}
    for sampling in _SAMPLINGS:
        found[sampling] = library.encode_jpeg(pixels, 80, "RGB", sampling)
    for mode in _KINDS:
        for progressive in (False, True):
            file = io.BytesIO()
            Image.fromarray(pixels).convert(mode).save(file, "JPEG", quality=60, progressive=progressive)
            found[f"{mode} progressive" if progressive else mode] = file.getvalue()
    whole = found["RGB progressive"]
    found["incomplete scans"] = whole[: whole.rindex(b"\xff\xda")] + b"\xff\xd9"
    return found


def _agrees(library: Any, content: bytes) -> bool:
    """Return whether simplejpeg returns Pillow's pixels of a file, and refuses its first part."""
    image = JpegImageFile(io.BytesIO(content))
    pixels = _decoded(library, content, image.mode, image.size)
    part = _decoded(library, content[: -len(content) // 4], image.mode, image.size)
    return pixels is not None and part is None and np.array_equal(pixels, np.asarray(image))

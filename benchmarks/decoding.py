"""Decoding and resizing of one JPEG file: simplejpeg against Pillow, and NumPy against torch, on one thread.

Both ways to decode are those of `committee.images.decode`, with the same pixels; a third is Pillow with the
usual conversion to an array of planes. Both ways to resize have the same pixels too.
"""

from __future__ import annotations

import io
from unittest import mock

import numpy as np
import torch
from harness import Row, compare, installed, main
from PIL import Image
from sklearn.datasets import load_sample_images

from committee.images import jpeg
from committee.images.canvas_of import canvas_of
from committee.images.decode import decode
from committee.images.view import frame

QUESTION, SIZES = "read one JPEG", ((256, 256), (427, 640), (3000, 4000))


def file_of(height: int, width: int) -> bytes:
    """Return a JPEG file of copies of a photograph."""
    photo = load_sample_images().images[0]
    whole = np.tile(photo, (-(-height // photo.shape[0]), -(-width // photo.shape[1]), 1))
    buffer = io.BytesIO()
    Image.fromarray(whole[:height, :width]).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def usual(content: bytes) -> np.ndarray:
    """Decode as a script does."""
    with Image.open(io.BytesIO(content)) as image:
        return np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))


def no_library() -> None:
    """Take the place of the library that is not installed."""


def with_pillow(content: bytes) -> np.ndarray:
    """Decode without simplejpeg."""
    with mock.patch.object(jpeg, "_verified", no_library):
        return decode(content)


def measure(quick: bool) -> list[Row]:
    """Return the ratios for each size."""
    rows = []
    for height, width in SIZES[:1] if quick else SIZES:
        content, rounds = file_of(height, width), 2 if quick else 40
        work = f"{width} x {height}, one thread"
        pixels = decode(content)
        peers = {"Pillow as usual": lambda: usual(content)}  # noqa: B023
        if installed("simplejpeg"):
            peers["committee with Pillow alone"] = lambda: with_pillow(content)  # noqa: B023
        for peer, call in peers.items():
            assert np.array_equal(call(), pixels)
            found = compare(lambda: decode(content), call, rounds)  # noqa: B023
            rows.append(Row(QUESTION, f"decode {work}", peer, *found, target=1))
        images = torch.from_numpy(pixels)[None]
        found = compare(lambda: canvas_of(pixels, 74, "crop"), lambda: frame(images, 74, "crop"), rounds)  # noqa: B023
        rows.append(Row(QUESTION, f"resize {work} to 74 px", "torch", *found, target=1))
    return rows


if __name__ == "__main__":
    main(measure)

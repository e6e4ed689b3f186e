"""Masks are decoded as they are stored: indices and numbers, never colors."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from committee.images.decode import ImageError
from committee.images.masks import MAX_PIXELS, decode_mask, header_of
from committee.images.workers import Workers

VALUES = np.arange(96).reshape(8, 12) % 2 + np.eye(8, 12, dtype=int)
"""0, 1 and 2: fewer than the gray levels of any depth but 1 bit."""


def saved(kind: str, pixels: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    pixels.save(file, kind, **options)
    return file.getvalue()


def palette(bits: int) -> bytes:
    picture = Image.fromarray(VALUES.astype(np.uint8))
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    return saved("PNG", picture, bits=bits)


def gray_png(bits: int) -> bytes:
    """Return a PNG with 2 or 4 bits of gray: that of a palette, whose header says gray."""
    content = palette(bits)
    header = bytearray(content[12:29])
    header[13] = 0  # color type
    start = content.index(b"PLTE") - 4
    end = start + 12 + struct.unpack(">I", content[start : start + 4])[0]
    return (
        content[:12]
        + bytes(header)
        + struct.pack(">I", zlib.crc32(header))
        + content[33:start]
        + content[end:]
    )


def as_array(dtype: str) -> Image.Image:
    return Image.fromarray(VALUES.astype(dtype))


FILES = {
    "gray": saved("PNG", as_array("u1")),
    "palette of 2 bits": palette(2),
    "palette of 8 bits": palette(8),
    "gray of 2 bits": gray_png(2),
    "gray of 4 bits": gray_png(4),
    "16 bits": saved("PNG", as_array("u2")),
    "TIFF": saved("TIFF", as_array("u1"), compression="tiff_lzw"),
    "TIFF of 16 bits": saved("TIFF", as_array("u2"), compression="tiff_deflate"),
    "TIFF of 32 bits": saved("TIFF", as_array("i4")),
    "TIFF of floats": saved("TIFF", as_array("f4")),
}


@pytest.mark.parametrize("kind", FILES)
def test_values_are_those_in_the_file(kind):
    mask = decode_mask(FILES[kind])
    assert mask.shape == (8, 12, 1) and np.array_equal(mask[..., 0], VALUES)
    header = header_of(FILES[kind])
    assert header.targets == 1 and (header.dtype.kind == "f") == (mask.dtype.kind == "f")


def test_one_bit_is_0_or_1():
    mask = decode_mask(saved("PNG", Image.fromarray(VALUES > 0)))
    assert mask.dtype == np.uint8 and np.array_equal(mask[..., 0], VALUES > 0)


@pytest.mark.parametrize("dtype", ["bool", "u1", "u2", "i8", "f2", "f8"])
def test_arrays_in_files(dtype, tmp_path):
    np.save(tmp_path / "a.npy", (VALUES > 0).astype(dtype))
    mask = decode_mask(tmp_path / "a.npy")
    assert np.array_equal(mask[..., 0], VALUES > 0)
    expected = {"bool": np.uint8, "u1": np.uint8, "u2": np.int32, "i8": np.int32}.get(dtype, np.float32)
    assert mask.dtype == expected


def test_workers_decode_masks_too(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((8, 12, 2), np.float32))
    (tmp_path / "a.png").write_bytes(b"GIF89a")
    with Workers(1) as workers:
        for kind in ("gray", "16 bits", "TIFF of floats"):
            assert np.array_equal(workers.decode_mask(FILES[kind], "a"), decode_mask(FILES[kind]))
        assert workers.decode_mask(tmp_path / "a.npy", "a").shape == (8, 12, 2)
        with pytest.raises(ImageError) as caught:
            workers.decode_mask(tmp_path / "a.png", "a")
    assert caught.value.reason == "its mask is a GIF image"


COLORS = Image.fromarray(np.zeros((8, 12, 3), np.uint8))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (saved("PNG", COLORS), "an image with 3 channels (RGB), whose pixels have colors"),
        (saved("PNG", COLORS.convert("LA")), "an image with 2 channels (LA), whose pixels have colors"),
        (saved("JPEG", COLORS), "neither PNG nor TIFF"),
        (b"mask", "neither PNG nor TIFF"),
        (b"", "an empty file"),
        (FILES["gray"][:60], "a damaged file: "),
        (
            saved("TIFF", as_array("u1"), save_all=True, append_images=[as_array("u1")]),
            "an animation of 2 frames",
        ),
        (np.zeros(3), "an array [3], not [H, W] or [H, W, targets]"),
        (np.zeros((2, 2), complex), "an array of complex128"),
        (np.zeros((2, 2), str), "an array of <U1"),
        (np.full((2, 2), 2**40), "an array with values of more than 31 bits"),
        (np.broadcast_to(np.uint8(0), (MAX_PIXELS, 2)), "more than 50 million pixels"),
    ],
)
def test_what_is_no_mask(source, reason):
    with pytest.raises(ImageError) as caught:
        decode_mask(source, "m.png")
    assert caught.value.reason.startswith(f"its mask is {reason}")
    assert str(caught.value).startswith(
        f"m.png: expected a mask: a PNG or TIFF file with one channel, or a .npy file, got {reason}"
    )


@given(
    kind=st.sampled_from(sorted(FILES)), place=st.integers(0, 10**6), noise=st.binary(min_size=1, max_size=20)
)
def test_damaged_files_raise_this_error_alone(kind, place, noise):
    content = FILES[kind]
    start = place % len(content)
    for source in (content[:start], content[:start] + noise + content[start + len(noise) :]):
        with contextlib.suppress(ImageError):
            assert decode_mask(source).ndim == 3

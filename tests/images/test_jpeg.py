"""JPEG files decoded by simplejpeg: the same pixels and errors as Pillow's, or Pillow."""

from __future__ import annotations

import io
import logging
import sys
import types

import numpy as np
import pytest
from PIL import Image

from committee.errors import DataError
from committee.images import jpeg
from committee.images.decode import decode

MARKERS = (0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC9, 0xDA, 0xDB, 0xDD, 0xE0, 0xEE)
EXIF = Image.Exif()
EXIF[0x112] = 6
KINDS = {
    "4:2:0": {},
    "4:2:2": {"subsampling": 1},
    "4:4:4": {"subsampling": 0, "quality": 100},
    "progressive": {"progressive": True, "quality": 30},
    "restart intervals": {"restart_marker_blocks": 2},
    "rotated": {"exif": EXIF, "icc_profile": b"profile", "comment": b"comment"},
    "gray": {"mode": "L"},
}
OTHERS = {"CMYK": {"mode": "CMYK"}, "RGB": {"keep_rgb": True}}


@pytest.fixture(autouse=True)
def library():
    return pytest.importorskip("simplejpeg", reason="simplejpeg is not installed")


def saved(pixels, *, mode="RGB", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def answer(content: bytes, channels: int):
    try:
        return decode(content, channels)
    except DataError as error:
        return str(error)


def same(content: bytes, channels: int, monkeypatch) -> bool:
    """Return whether the answer, pixels or the text of an error, is that of Pillow alone."""
    found = answer(content, channels)
    with monkeypatch.context() as patched:
        patched.setattr(jpeg, "_verified", lambda: None)
        expected = answer(content, channels)
    return type(found) is type(expected) and np.array_equal(found, expected)


@pytest.mark.parametrize("kind", [*KINDS, *OTHERS])
def test_pixels_are_those_of_pillow(kind, photos, monkeypatch):
    content = saved(photos[0], **{**KINDS, **OTHERS}[kind])
    found, decoded = [], jpeg._decoded
    assert jpeg._verified() is not None
    monkeypatch.setattr(jpeg, "_decoded", lambda *given: found.append(decoded(*given)) or found[-1])
    for channels in (1, 3):
        assert same(content, channels, monkeypatch)
        assert same(content[:-20], channels, monkeypatch)
    used = [each is not None for each in found]
    assert used == [True, False] * 2 if kind in KINDS else not any(used)


def mutated(content: bytes, rng) -> bytes:
    """Return a file with a changed byte, marker or header, without a part, or with another in it."""
    new, place = bytearray(content), int(rng.integers(len(content)))
    starts = [at for at in range(len(new) - 4) if new[at] == 0xFF and new[at + 1] not in (0, 0xFF)]
    start = starts[int(rng.integers(len(starts)))]
    kind = int(rng.integers(6))
    if kind == 0:
        new[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        new[start + 1] = MARKERS[int(rng.integers(len(MARKERS)))]
    elif kind == 2:
        new[start + int(rng.integers(2, 12)) % (len(new) - start)] = int(rng.integers(256))
    elif kind == 3:
        del new[start : start + 2 + 256 * new[start + 2] + new[start + 3]]
    elif kind == 4:
        new[place:place] = rng.bytes(8)
    else:
        del new[place : place + int(rng.integers(1, len(new)))]
    return bytes(new)


def test_damaged_files_give_the_pixels_or_the_error_of_pillow(photos, monkeypatch):
    rng = np.random.default_rng(0)
    pixels = photos[0][:17, :23]
    whole = [saved(pixels, **options) for options in (*KINDS.values(), *OTHERS.values())]
    for content in whole * 25:
        assert same(mutated(content, rng), int(rng.choice([1, 3])), monkeypatch)


def test_another_version_that_differs_is_not_used(library, monkeypatch, caplog):
    def darker(content, wanted, strict):
        return library.decode_jpeg(content, wanted, strict=strict) // 2

    def lenient(content, wanted, strict):
        return library.decode_jpeg(content, wanted, strict=False)

    def of(**functions):
        given = {
            name: getattr(library, name) for name in ("decode_jpeg", "decode_jpeg_header", "encode_jpeg")
        }
        monkeypatch.setitem(sys.modules, "simplejpeg", types.SimpleNamespace(**given | functions))
        caplog.clear()
        with caplog.at_level(logging.INFO, logger=jpeg.__name__):
            return jpeg._verified.__wrapped__()

    assert of() is not None and not caplog.messages
    assert of(decode_jpeg=darker) is None and "since it differs from Pillow: 444, 422" in caplog.text
    assert of(decode_jpeg=lenient) is None
    assert of(encode_jpeg=None) is None
    assert caplog.messages == [
        "simplejpeg is not used, since it differs from Pillow: TypeError: 'NoneType' object is not callable"
    ]

"""Hostile files are refused by their header alone, whatever their name."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image
from sklearn.datasets import load_sample_images

from committee.errors import DataError
from committee.images import decode as decode_module
from committee.images.decode import MAX_PIXELS, decode

PHOTO = Image.fromarray(load_sample_images().images[0][150:210, 200:290])


def saved(kind: str, *, frames: int = 1, **options: object) -> bytes:
    """Return the photo as a file with several frames, each slightly rotated."""
    file = io.BytesIO()
    more = [PHOTO.rotate(5 * frame) for frame in range(1, frames)]
    PHOTO.save(file, kind, **({"save_all": True, "append_images": more} if more else {}), **options)
    return file.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_bomb(side: int) -> bytes:
    """Return a gray PNG of `side` squared pixels, all black, complete and valid."""
    packer, rows = zlib.compressobj(9), b"\0" * (side + 1) * 64
    parts = [packer.compress(rows) for _ in range(side // 64)]
    parts += [packer.compress(b"\0" * (side + 1) * (side % 64)), packer.flush()]
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", b"".join(parts)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def jpeg_of(width: int, height: int) -> bytes:
    """Return the photo as a JPEG whose header claims another size."""
    content = saved("JPEG")
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


def webp_of(side: int) -> bytes:
    """Return the photo as a WebP whose header claims a canvas of `side` squared pixels."""
    inner = saved("WEBP", lossless=True)[12:]
    size = (side - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + size + size + inner
    return b"RIFF" + struct.pack("<I", len(body)) + body


def damaged(content: bytes) -> bytes:
    """Return `content` with noise in its middle."""
    middle = len(content) // 2
    return content[:middle] + np.random.default_rng(0).bytes(200) + content[middle + 200 :]


TOO_LARGE = "more than 50 million pixels"
# Name -> content, and the start of the reason.
FILES = {
    "empty.jpg": (b"", "an empty file"),
    "one_byte.jpg": (b"\xff", "something else"),
    "eps.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nquit\n", "an EPS file"),
    "gif.jpg": (saved("GIF"), "a GIF image"),
    "bmp.png": (saved("BMP"), "a BMP image"),
    "tiff.jpg": (saved("TIFF"), "a TIFF image"),
    "icns.png": (saved("ICNS"), "an ICNS icon"),
    "avif.jpg": (b"\0\0\0\x20ftypavif" + b"\0" * 40, "a HEIC, AVIF or video file"),
    "page.jpg": (b"<!DOCTYPE html><html>404</html>", "an HTML or XML file"),
    "lfs.png": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer in place of the file"),
    "sound.webp": (b"RIFF\0\0\0\0WAVEfmt " + b"\0" * 40, "something else"),
    "animated.png": (saved("PNG", frames=3), "an animation of 3 frames"),
    "animated.webp": (saved("WEBP", frames=2), "an animation of 2 frames"),
    "cut.jpg": (saved("JPEG")[:-400], "a damaged file: image file is truncated"),
    "cut.png": (saved("PNG")[:-700], "a damaged file: image file is truncated"),
    "cut.webp": (saved("WEBP")[:-200], "a damaged file: "),
    "head.jpg": (saved("JPEG")[:3], "a damaged file: "),
    "head.png": (saved("PNG")[:8], "a damaged file: "),
    "head.webp": (saved("WEBP")[:16], "a damaged file: "),
    "noise.png": (damaged(saved("PNG")), "a damaged file: "),
    "nothing.png": (png_bomb(0), "a damaged file: not identified by this driver"),
    "bomb.png": (png_bomb(13_304), f"{TOO_LARGE}: 13304 x 13304"),
    "bomb.jpg": (jpeg_of(65_500, 65_500), f"{TOO_LARGE}: 65500 x 65500"),
    "bomb.webp": (webp_of(16_384), TOO_LARGE),
}


@pytest.mark.parametrize("name", FILES)
def test_refused_by_name(tmp_path, name):
    content, reason = FILES[name]
    file = tmp_path / name
    file.write_bytes(content)
    for source, options in ((file, {}), (content, {"name": str(file)})):
        with pytest.raises(DataError) as caught:
            decode(source, **options)
        start = f"{file}: expected a JPEG, PNG or WebP image, got {reason}"
        assert str(caught.value).startswith(start)
        assert str(caught.value).endswith(". Replace it or leave it out.")


def test_no_other_plugin_is_asked(monkeypatch):
    """Neither Pillow's search through its plugins nor Ghostscript runs, whatever the content is."""

    def never(*args, **options):
        raise AssertionError("asked")

    monkeypatch.setattr(Image, "open", never)
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", never)
    monkeypatch.setattr(subprocess, "Popen", never)
    for content, _ in FILES.values():
        with pytest.raises(DataError, match="expected a JPEG"):
            decode(content)
    assert decode(saved("JPEG")).shape == (3, 60, 90)


@pytest.mark.skipif(sys.platform == "win32", reason="asks the system for the peak of memory")
def test_a_bomb_takes_no_memory(tmp_path):
    """177 million pixels in 170 kB would be 177 MB or more; only the header is read."""
    (tmp_path / "bomb.png").write_bytes(FILES["bomb.png"][0])
    (tmp_path / "fine.png").write_bytes(saved("PNG"))
    code = (
        "import resource, sys; from committee.errors import DataError\n"
        "from committee.images.decode import decode\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "decode('fine.png'); before = peak()\n"
        "try: decode('bomb.png')\n"
        "except DataError: print((peak() - before) // (1024 if sys.platform == 'linux' else 1024**2))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) <= 4


def test_the_limit_is_fifty_million_pixels(monkeypatch):
    assert MAX_PIXELS == 50_000_000
    monkeypatch.setattr(decode_module, "MAX_PIXELS", 40 * 40)
    assert decode(png_bomb(40)).shape == (3, 40, 40)
    with pytest.raises(DataError, match="pixels: 41 x 41"):
        decode(png_bomb(41))


def test_a_file_too_long_for_its_pixels(monkeypatch, tmp_path):
    monkeypatch.setattr(decode_module, "_MAX_BYTES", 2_000_000)
    file = tmp_path / "long.webp"
    file.write_bytes(saved("WEBP"))
    assert decode(file).shape == (3, 60, 90)
    with file.open("r+b") as opened:
        opened.truncate(2_000_001)
    with pytest.raises(DataError, match="got a file of more than 2 MB"):
        decode(file)


def test_one_frame_is_no_animation():
    assert decode(saved("PNG", save_all=True)).shape == (3, 60, 90)
    assert decode(saved("WEBP", save_all=True)).shape == (3, 60, 90)


def test_a_jpeg_with_a_second_picture_is_its_first():
    """Phones append previews and depth maps to the photo (MPO)."""
    pixels = decode(saved("MPO", frames=2))
    assert np.array_equal(pixels, decode(saved("JPEG")))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "locked.png").write_bytes(saved("PNG"))
    (tmp_path / "locked.png").chmod(0)
    with pytest.raises(DataError, match="got Permission denied"):
        decode(tmp_path / "locked.png")


def test_a_folder_is_no_image(tmp_path):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataError, match="expected a JPEG, PNG or WebP image, got "):
        decode(tmp_path / "folder.png")


WHOLE = {kind: saved(kind) for kind in ("JPEG", "PNG", "WEBP")} | {
    "EXIF": saved("JPEG", exif=PHOTO.getexif().tobytes() or b"Exif\0\0II*\0\x08\0\0\0\0\0"),
    "MPO": saved("MPO", frames=2),
    "APNG": saved("PNG", frames=2),
    "TALL": jpeg_of(7_000, 7_000)[:900],
}


@given(st.sampled_from(sorted(WHOLE)), st.data())
@settings(max_examples=150)
def test_any_damage_is_an_image_or_our_error(kind, data):
    content = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, min(len(content), 700) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    try:
        pixels = decode(bytes(content), 1)
    except DataError:
        pass
    else:
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.size


@given(st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF....WEBPVP8 "]), st.binary())
def test_any_bytes_are_our_error(start, rest):
    with pytest.raises(DataError):
        decode(start + rest)

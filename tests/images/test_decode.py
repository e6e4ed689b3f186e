import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from committee.errors import DataError
from committee.images.decode import decode, find_images, warn_of_others


@pytest.mark.parametrize(
    ("suffix", "options", "tolerance"),
    [("png", {}, 0), ("webp", {"lossless": True}, 0), ("jpg", {"quality": 95}, 40)],
)
def test_the_formats(photos, tmp_path, suffix, options, tolerance):
    file = tmp_path / f"photo.{suffix}"
    Image.fromarray(photos[0]).save(file, **options)
    pixels = decode(file, 3)
    assert pixels.dtype == np.uint8 and pixels.shape == (3, 60, 90) and pixels.flags.c_contiguous
    assert np.abs(pixels.astype(int) - photos[0].transpose(2, 0, 1)).max() <= tolerance
    assert decode(file, 1).shape == (1, 60, 90)
    assert np.array_equal(decode(file.read_bytes(), 3), pixels)
    with Image.open(file) as opened:
        assert np.array_equal(decode(opened, 3), pixels)
        assert opened.getpixel((0, 0)) is not None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(photos, tmp_path, orientation):
    turned = Image.fromarray(photos[0])
    exif = turned.getexif()
    exif[0x0112] = orientation
    turned.save(tmp_path / "turned.png", exif=exif)
    expected = {
        1: photos[0],
        2: photos[0][:, ::-1],
        3: photos[0][::-1, ::-1],
        4: photos[0][::-1],
        5: photos[0].transpose(1, 0, 2),
        6: np.rot90(photos[0], -1),
        7: photos[0][::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(photos[0]),
    }[orientation]
    assert np.array_equal(decode(tmp_path / "turned.png"), expected.transpose(2, 0, 1))


def test_arrays(photos):
    assert np.array_equal(decode(photos[0], 3), photos[0].transpose(2, 0, 1))
    gray = photos[0, ..., 0]
    for array in (gray, gray[..., None]):
        assert np.array_equal(decode(array, 1), gray[None])
        assert np.array_equal(decode(array, 3), np.stack([gray] * 3))


def test_transparency_lies_on_white(tmp_path):
    image = np.zeros((4, 6, 4), np.uint8)
    image[:, 3:, 3] = 255
    Image.fromarray(image).save(tmp_path / "clear.png")
    pixels = decode(tmp_path / "clear.png", 1)
    assert (pixels[0, :, :3] == 255).all() and (pixels[0, :, 3:] == 0).all()
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "palette.png", transparency=0)
    assert decode(tmp_path / "palette.png")[:, 0].T.tolist() == [[255, 255, 255], [200, 100, 50]]


def test_sixteen_bits_keep_their_upper_eight(tmp_path):
    ramp = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    assert np.array_equal(decode(tmp_path / "deep.png", 1)[0], (ramp >> 8).astype(np.uint8))


@pytest.mark.parametrize(("most", "expected"), [(255, 255), (256, 16), (4095, 255), (4096, 16), (65535, 255)])
def test_values_of_eight_and_twelve_bits_in_files_of_sixteen_are_not_black(tmp_path, most, expected):
    values = np.linspace(0, most, 64).round().astype(np.uint16).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "deep.png")
    pixels = decode(tmp_path / "deep.png", 1)[0]
    assert pixels.max() == expected and (np.diff(pixels.ravel().astype(int)) >= 0).all()


def png(depth, kind, row, transparent):
    """A PNG file of 8 equal rows of 8 pixels, with a transparent color."""

    def chunk(name, data):
        crc = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + crc

    head = struct.pack(">IIBBBBB", 8, 8, depth, kind, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress((b"\0" + row) * 8))
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"tRNS", transparent)
    return start + rows + chunk(b"IEND", b"")


TRANSPARENT = {
    "gray of 1 bit": (1, 0, b"\x0f", struct.pack(">H", 0)),
    "gray of 2 bits": (2, 0, b"\x55\xff", struct.pack(">H", 1)),
    "gray of 4 bits": (4, 0, b"\x11\x11\xff\xff", struct.pack(">H", 1)),
    "gray of 8 bits": (8, 0, b"\x64" * 4 + b"\xff" * 4, struct.pack(">H", 100)),
    "gray of 16 bits": (16, 0, struct.pack(">H", 1000) * 4 + b"\xff\xff" * 4, struct.pack(">H", 1000)),
    "color of 8 bits": (8, 2, b"\x01\x02\x03" * 4 + b"\xff" * 12, struct.pack(">HHH", 1, 2, 3)),
    "color of 16 bits": (
        16,
        2,
        struct.pack(">HHH", 51200, 25600, 12800) * 4 + b"\xff" * 24,
        struct.pack(">HHH", 51200, 25600, 12800),
    ),
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_a_transparent_color_is_white_at_every_depth(name):
    depth, kind, row, color = TRANSPARENT[name]
    assert (decode(png(depth, kind, row, color)) == 255).all()
    other = color[:-2] + struct.pack(">H", 0 if color[-2:] != b"\0\0" else 1)
    assert not (decode(png(depth, kind, row, other)) == 255).all()


def exif(*entries):
    count = struct.pack("<H", len(entries))
    table = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + count + table + b"\0" * 4


UPRIGHT = (0x112, 3, 1, struct.pack("<HH", 6, 0))
BROKEN = {
    "a resolution that is text": ("JPEG", exif(UPRIGHT, (0x11A, 2, 4, b"abc\0")), True),
    "a negative unit": ("JPEG", exif(UPRIGHT, (0x128, 8, 1, struct.pack("<hh", -1, 0))), True),
    "a negative width": ("JPEG", exif(UPRIGHT, (0x100, 9, 1, struct.pack("<i", -5))), True),
    "an orientation that is text": ("JPEG", exif((0x112, 2, 4, b"abc\0")), False),
    "an orientation of 9": ("JPEG", exif((0x112, 3, 1, struct.pack("<HH", 9, 0))), False),
    "no header in a PNG": ("PNG", b"Exif\0\0XXXX", False),
    "no header in a WebP": ("WEBP", b"abc", False),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_metadata_is_no_broken_image(name):
    kind, content, rotated = BROKEN[name]
    buffer = io.BytesIO()
    Image.new("RGB", (30, 20), (200, 100, 50)).save(buffer, kind, exif=content)
    assert decode(buffer.getvalue()).shape == ((3, 30, 20) if rotated else (3, 20, 30))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_that_of_pillow(photos, orientation):
    given = Image.Exif()
    given[0x112] = orientation
    for mode, kind in (("RGB", "PNG"), ("RGBA", "PNG"), ("RGB", "WEBP"), ("L", "JPEG")):
        buffer = io.BytesIO()
        Image.fromarray(photos[0]).convert(mode).save(buffer, kind, exif=given)
        expected = ImageOps.exif_transpose(Image.open(buffer)).convert("RGB")
        assert np.array_equal(decode(buffer.getvalue()), np.asarray(expected).transpose(2, 0, 1))


def test_images_of_other_suffixes_are_used_and_other_files_are_named(photos, tmp_path, caplog):
    (tmp_path / "cat").mkdir()
    for name, kind in (
        ("a.jfif", "JPEG"),
        ("b.jpe", "JPEG"),
        ("c", "PNG"),
        ("d.bmp", "BMP"),
        ("e.tif", "TIFF"),
    ):
        Image.fromarray(photos[0]).save(tmp_path / "cat" / name, kind)
    (tmp_path / "cat" / "notes.txt").write_text("two cats", encoding="utf-8")
    images, others = find_images(tmp_path)
    assert [path.name for path in images] == ["a.jfif", "b.jpe", "c"]
    warn_of_others(tmp_path, others)
    assert caplog.messages == [
        f"{tmp_path.as_posix()}: left out 3 files, not JPEG, PNG or WebP: cat/d.bmp (a BMP image), "
        "cat/e.tif (a TIFF image), cat/notes.txt (something else)"
    ]
    caplog.clear()
    warn_of_others(tmp_path, {})
    warn_of_others(tmp_path, {tmp_path / "notes.txt": "something else"})
    assert not caplog.messages  # not a warning


def test_the_content_decides_the_format(photos, tmp_path):
    Image.fromarray(photos[0]).save(tmp_path / "photo.jpg", format="PNG")
    assert np.array_equal(decode(tmp_path / "photo.jpg"), photos[0].transpose(2, 0, 1))


def broken_files(photos):
    buffer = io.BytesIO()
    Image.fromarray(photos[1]).save(buffer, format="JPEG")
    bitmap = io.BytesIO()
    Image.fromarray(photos[0]).save(bitmap, format="BMP")
    return {
        "text.png": (b"no image at all", "something else"),
        "empty.png": (b"", "an empty file"),
        "bitmap.png": (bitmap.getvalue(), "a BMP image"),
        "short.jpg": (buffer.getvalue()[:-200], "a damaged file: image file is truncated"),
    }


@pytest.mark.parametrize("name", ["text.png", "empty.png", "bitmap.png", "short.jpg"])
def test_what_is_no_image_is_named(photos, tmp_path, name):
    content, got = broken_files(photos)[name]
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        decode(file)
    assert str(caught.value) == (
        f"{file}: expected a JPEG, PNG or WebP image, got {got}. Replace it or leave it out."
    )


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError) as caught:
        decode(tmp_path / "gone.png")
    assert str(caught.value) == (
        f"{tmp_path / 'gone.png'}: the file does not exist. Replace it or leave it out."
    )


def test_only_uint8_arrays():
    with pytest.raises(DataError) as caught:
        decode(np.zeros((4, 4)), name="row 3")
    assert str(caught.value) == (
        "row 3: expected a JPEG, PNG or WebP image, got an array of float64, not of uint8. "
        "Replace it or leave it out."
    )


def test_images_are_found_below_a_folder(tmp_path):
    for name in ("b.PNG", "a/c.jpeg", "a/d.webp", "notes.txt", ".hidden.png", ".cache/e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "folder.jpg" / "f.jpg").write_bytes(b"")
    images, others = find_images(tmp_path)
    found = [path.relative_to(tmp_path).as_posix() for path in images]
    assert others == {tmp_path / "notes.txt": "an empty file"}
    assert found == ["a/c.jpeg", "a/d.webp", "b.PNG", "folder.jpg/f.jpg"]


def test_decoding_needs_no_torch():
    code = "import sys, committee.images.decode; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from committee.errors import DataError
from committee.images.decode import decode, find_images


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
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["a/c.jpeg", "a/d.webp", "b.PNG", "folder.jpg/f.jpg"]


def test_decoding_needs_no_torch():
    code = "import sys, committee.images.decode; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

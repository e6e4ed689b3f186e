"""The script in a package reads photos as `decode` does, and predicts as `committee predict` does."""

from __future__ import annotations

import importlib.util
import json
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnxruntime")

from committee.exporters import _predict_script
from committee.images.decode import decode
from committee.inference.palette import palette

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 14, 4), dtype=np.uint8)


def png(depth: int, kind: int, row: bytes, transparent: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, depth, kind, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress((b"\0" + row) * 8))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"tRNS", transparent) + data + chunk(b"IEND", b"")


def tricky(folder: Path) -> dict[str, Path]:
    """Write photos that naive code reads in another way."""
    rgb, found = Image.fromarray(PIXELS[..., :3]), dict[str, Path]()

    def save(image: Image.Image, name: str, **options: Any) -> None:
        found[name] = folder / name
        image.save(folder / name, **options)

    save(Image.fromarray(PIXELS), "transparent.png")
    save(Image.fromarray(PIXELS), "transparent.webp", lossless=True)
    save(Image.fromarray(PIXELS[..., [0, 3]]), "gray-alpha.png")
    save(rgb.quantize(8), "palette.png", transparency=3)
    save(rgb.convert("CMYK"), "cmyk.jpg")
    save(rgb.convert("1"), "bits.png")
    for orientation in (3, 6, 7):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(rgb, f"turned-{orientation}.jpg", exif=exif)
        save(Image.fromarray(PIXELS), f"turned-{orientation}.png", exif=exif)
    for name, factor in (("8", 1), ("12", 16), ("16", 257)):
        save(Image.fromarray(PIXELS[..., 0].astype(np.uint16) * factor), f"gray-{name}.png")
    for name, data in (
        ("key-16.png", png(16, 0, struct.pack(">H", 1000) * 8, struct.pack(">H", 1000))),
        ("key-4.png", png(4, 0, b"\x11" * 4, struct.pack(">H", 1))),
        (
            "key-rgb-16.png",
            png(16, 2, struct.pack(">HHH", 51200, 9, 7) * 8, struct.pack(">HHH", 51200, 9, 7)),
        ),
    ):
        found[name] = folder / name
        found[name].write_bytes(data)
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_it_reads_photos_as_training_does(tmp_path: Path, channels: int) -> None:
    for name, path in tricky(tmp_path).items():
        expected = decode(path, channels)[None]
        assert np.array_equal(_predict_script.read(path, channels), expected), name


def test_it_predicts_what_the_command_predicts(tmp_path: Path, cli: Callable[..., Any]) -> None:
    onnx = pytest.importorskip("onnx")
    helper, to = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=to.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Softmax", ["mean"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("images", to.UINT8, ["b", 3, "h", "w"])],
        [helper.make_tensor_value_info("probabilities", to.FLOAT, ["b", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    meta = {"name": "mean", "class_names": '["red", "green", "blue"]', "provenance": "{}"}
    helper.set_model_props(model, meta)
    package = tmp_path / "package"
    package.mkdir()
    onnx.save(model, package / "model.onnx")
    shutil.copyfile(Path(_predict_script.__file__), package / "predict.py")
    (tmp_path / "photos").mkdir()
    photos = list(tricky(tmp_path / "photos").values())
    ours = json.loads(cli("predict", package / "model.onnx", *photos, "--json").out)["predictions"]
    ran = subprocess.run([sys.executable, package / "predict.py", *photos], capture_output=True, check=True)
    theirs = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [each["prediction"] for each in theirs] == [each["prediction"] for each in ours]
    assert [each["probabilities"] for each in theirs] == [each["probabilities"] for each in ours]


def test_it_imports_nothing_of_committee() -> None:
    text = Path(_predict_script.__file__).read_text(encoding="utf-8")
    assert "import committee" not in text and "from committee" not in text
    assert importlib.util.find_spec("onnxruntime")


@pytest.mark.parametrize("classes", [2, 256])
def test_its_masks_have_the_colors_of_those_of_the_command_line(classes: int) -> None:
    assert _predict_script.palette(classes) == palette(classes).tobytes()

"""A small model in an ONNX file, and photos that naive code reads in another way."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from committee.metrics.set_table import SetTable
from committee.pipeline.bundling.subject import Subject

NAMES = ('cat, "dog"', "</script><b>|*x*|", "🐈 Katze\nzwei")


def save_mean(path: Path, channels: int, names: tuple[str, ...] = NAMES) -> None:
    """Write a model of three classes that depends on the mean of each channel alone."""
    onnx = pytest.importorskip("onnx")
    make, to = onnx.helper, onnx.TensorProto
    weights = np.eye(3)[:channels] / 16
    nodes = [
        make.make_node("Cast", ["images"], ["exact"], to=to.DOUBLE),
        make.make_node("ReduceMean", ["exact"], ["mean"], axes=[2, 3], keepdims=0),
        make.make_node("MatMul", ["mean", "weights"], ["logits"]),
        make.make_node("Cast", ["logits"], ["float"], to=to.FLOAT),
        make.make_node("Softmax", ["float"], ["probabilities"], axis=1),
    ]
    graph = make.make_graph(
        nodes,
        "mean",
        [make.make_tensor_value_info("images", to.UINT8, ["b", channels, "h", "w"])],
        [make.make_tensor_value_info("probabilities", to.FLOAT, ["b", 3])],
        [make.make_tensor("weights", to.DOUBLE, weights.shape, weights.ravel().tolist())],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    meta = {"name": "mean", "class_names": json.dumps(names), "provenance": "{}"}
    make.set_model_props(model, meta)
    onnx.save(model, path)


@pytest.fixture
def subject(tmp_path: Path) -> Callable[..., Subject]:
    """Make a model of images with some channels: `subject(channels=1)`; other arguments are its facts."""

    def make(channels: int = 3, **facts: object) -> Subject:
        file = tmp_path / "model.onnx"
        save_mean(file, channels)
        return Subject("mean", NAMES, channels, file=file, **facts)

    return make


@pytest.fixture
def thresholds() -> dict[str, object]:
    """A table of prediction sets."""
    log_probs = np.log(np.array([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1]]).repeat(100, axis=0))
    return SetTable.of(log_probs, np.zeros(200, int), rows="val", approximate=False).to_json()


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Photos with rotation, transparency of all degrees, palettes and subsampled colors."""
    folder = tmp_path / "photos"
    folder.mkdir()
    draw = np.random.default_rng(0)
    smooth = np.linspace(0, 255, 97 * 131 * 3).reshape(97, 131, 3) % 256
    rgb = Image.fromarray((smooth * 0.8 + draw.integers(0, 50, smooth.shape)).astype(np.uint8))
    alpha = draw.integers(0, 256, (256, 256, 4)).astype(np.uint8)
    alpha[..., 3] = np.arange(256)
    turned = Image.Exif()
    turned[0x0112] = 6
    rgb.save(folder / "plain.jpg", quality=80)
    rgb.save(folder / "turned.jpg", exif=turned)
    rgb.save(folder / "turned.png", exif=turned)
    rgb.save(folder / "plain.webp")
    rgb.quantize(8).save(folder / "palette.png", transparency=3)
    Image.fromarray(alpha).save(folder / "alpha.png")
    Image.fromarray(alpha[..., [0, 3]]).save(folder / "gray-alpha.png")
    return sorted(folder.iterdir())


@pytest.fixture
def predicted() -> Callable[..., dict[str, list[float]]]:
    """Run a predict.py: the probabilities of each photo that it could read, by file name."""

    def run(script: Path, photos: list[Path], code: int = 0) -> dict[str, list[float]]:
        done = subprocess.run([sys.executable, script, *photos], capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        lines = map(json.loads, done.stdout.splitlines())
        return {Path(each["id"]).name: list(each["probabilities"].values()) for each in lines}

    return run

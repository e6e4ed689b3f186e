"""Compressed files against the float32 file: latency of a call in the runtime of each, and size.

The networks have random weights and inputs of noise, which change neither latency nor size. What compression
costs in accuracy is measured by the commands in `examples/fashion_mnist/compress.yaml`. All runtimes use one
thread; the files run in turns, as in `exports.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from exports import CLASSES, COUNTS, built, compared, images_of, one_thread
from harness import Row, absent, main

from committee.compression.base import COMPRESSORS
from committee.errors import DependencyError
from committee.exporters.base import EXPORTERS, Card
from committee.models.predictor import Images, Predictor

QUESTION, FLOAT = "latency of a compressed file", "the float32 ONNX file"
NETWORKS = (("resnet18", 64), ("mobilenetv3_small_100", 64), ("vit_tiny_patch16_224", 96))
METHODS = ("onnx_static", "onnx_dynamic", "float16", "nncf")
CALIBRATION = 64
PACKAGES = ("onnx", "onnxruntime", "openvino", "nncf")


def rows_of(name: str, size: int, methods: Sequence[str], quick: bool) -> list[Row]:
    """Compress a network by each method, and compare the files with that in float32."""
    net = built(name, size)
    batches = [images_of(count, 3, (size, size)) for count in COUNTS]
    images, rows, sizes = images_of(CALIBRATION, 3, (size, size)), list[Row](), dict[str, float]()
    formats = {"onnx", *(COMPRESSORS.load(method).format for method in methods)}
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, one_thread(formats):
        place = Path(folder, "float32")
        place.mkdir()
        file = EXPORTERS.make("onnx").export(net, torch.tensor(batches[1]), place, Card(name, tuple(CLASSES)))
        predictors = {FLOAT: (EXPORTERS.make("onnx").open(file), batches)}
        sizes[FLOAT] = file.stat().st_size / 1e6
        for method in methods:
            try:
                predictor, sizes[method] = compressed(method, file, images, Path(folder, method))
            except DependencyError as error:
                rows.append(absent(QUESTION, f"{name}, {method}", FLOAT, None, error.expected))
                continue
            predictors[method] = (predictor, batches)
        found = compared(predictors, FLOAT, quick)
    for (method, count), (timing, ratio) in found.items():
        if method != FLOAT:
            work = f"{name} {size} px, {method}, batch of {count}, one thread"
            note = f"p95 {timing.p95:.3g} ms; {sizes[method]:.2f} MB instead of {sizes[FLOAT]:.2f}"
            rows.append(Row(QUESTION, work, FLOAT, timing.median, *ratio, None, note, "ms"))
    return rows


def compressed(method: str, file: Path, images: Images, folder: Path) -> tuple[Predictor, float]:
    """Return a compressed file, opened, and its size in MB."""
    compressor = COMPRESSORS.make(method)
    folder.mkdir()
    result = compressor.compress(file, images, folder)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    return EXPORTERS.make(compressor.format).open(result), size


def measure(quick: bool) -> list[Row]:
    """Compare all methods for networks of three kinds."""
    if quick:
        return rows_of("test_resnet", 32, ("onnx_static", "float16"), quick)
    return [row for name, size in NETWORKS for row in rows_of(name, size, METHODS, quick)]


if __name__ == "__main__":
    main(measure, packages=PACKAGES)

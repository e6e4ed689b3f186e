"""Exported files against torch: latency from images to probabilities, time of the export, and size.

The models are five convolutional networks of 28 pixels, ResNet-18 at 64 pixels, five of these, and five
ViT-tiny. Images have the size of the networks or, for ResNet-18, 96 x 80 pixels, unless a row says otherwise.
Weights are random, and every file is compared with its module. All runtimes use one thread. The files and the
module run in turns; in each turn, every one of them is called several times after a warm-up.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import numpy as np
import torch
from harness import Row, absent, installed, main, spread
from torch import nn

from committee.errors import DependencyError
from committee.exporters.base import Card
from committee.models.ensemble import Ensemble
from committee.models.measure import size_mb
from committee.models.member import Member
from committee.models.predictor import Images, ModulePredictor, Predictor
from committee.models.timing import Timing, interleaved
from committee.pipeline.shared.network_files import times_of
from committee.pipeline.shared.parity import check_parity
from committee.recipe.exports import ExportFormat

QUESTION = "latency of an exported file"
EAGER, CLASSES = "torch", "abcdefghij"
COUNTS = (1, 32)
FORMATS = (
    "torchscript",
    "torch_export",
    "onnx",
    "onnx:precision=float16",
    "onnx:precision=int8",
    "openvino",
    "executorch",
    f"executorch:batch={COUNTS[1]}",
    "aotinductor",
)
PACKAGES = ("onnx", "onnxruntime", "openvino", "nncf", "executorch")


def small(seed: int) -> Member:
    """Return a network of three convolutions for gray images of 28 pixels, with 93,000 parameters."""
    torch.manual_seed(seed)
    widths = (1, 32, 64, 128)
    blocks = [
        [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        for inputs, outputs in itertools.pairwise(widths)
    ]
    pool, head = nn.MaxPool2d(2), nn.Linear(widths[-1], len(CLASSES))
    net = nn.Sequential(
        *blocks[0], pool, *blocks[1], pool, *blocks[2], nn.AdaptiveAvgPool2d(1), nn.Flatten(), head
    )
    view: dict[str, Any] = {"size": 28, "fit": "squash", "channels": 1, "mean": 0.5, "std": 0.25}
    return Member.from_module(net.eval(), classes=CLASSES, name=f"cnn_s{seed}", **view)


def built(backbone: str, size: int, seed: int = 0) -> Member:
    """Return a network with random weights.

    Scales of batch norm that start with zero, such as those at the end of the blocks of timm's ResNets, would
    hide differences and make files smaller.
    """
    net = Member.build(f"timm:{backbone}", classes=CLASSES, size=size, name=f"{backbone}_s{seed}", seed=seed)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.0)
    return net.eval()


def vit(seed: int) -> Member:
    """Return ViT-tiny for images of 96 pixels."""
    return built("vit_tiny_patch16_224", 96, seed)


def resnet(seed: int) -> Member:
    """Return ResNet-18 for images of 64 pixels."""
    return built("resnet18", 64, seed)


@dataclass(frozen=True)
class Subject:
    """A model, the sides of its images, the smallest ratio of its ONNX file for one image, and formats."""

    name: str
    build: Callable[[int], Member]
    members: int
    sides: tuple[int, int]
    target: float
    formats: Sequence[str] = FORMATS


SUBJECTS = (
    Subject("CNN 28 px", small, 5, (28, 28), 3),
    Subject("CNN 28 px, photos of 640 x 480", small, 5, (480, 640), 3, ("onnx",)),
    Subject("ResNet-18 64 px", resnet, 1, (80, 96), 1.5),
    Subject("ResNet-18 64 px", resnet, 5, (80, 96), 1.5, ("onnx", "openvino")),
    Subject("ViT-tiny 96 px", vit, 5, (96, 96), 1.2, ("onnx", "openvino")),
)


@contextmanager
def one_thread(formats: Collection[str]) -> Iterator[None]:
    """Let the runtimes of some formats use one thread, as torch does in `harness.main`."""
    with ExitStack() as stack:
        if "onnx" in formats and installed("onnxruntime"):
            import onnxruntime

            options = onnxruntime.SessionOptions

            def single() -> Any:
                found = options()
                found.intra_op_num_threads = 1
                return found

            stack.enter_context(mock.patch.object(onnxruntime, "SessionOptions", single))
        if "openvino" in formats and installed("openvino"):
            import openvino

            compiled = openvino.Core.compile_model

            def compile_model(core: Any, model: Any, device_name: str, config: dict[str, Any]) -> Any:
                return compiled(core, model, device_name, {**config, "INFERENCE_NUM_THREADS": 1})

            stack.enter_context(mock.patch.object(openvino.Core, "compile_model", compile_model))
        if "executorch" in formats and installed("executorch.extension.pybindings"):
            from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool

            _unsafe_reset_threadpool(1)
        yield


def images_of(count: int, channels: int, sides: tuple[int, int]) -> Images:
    """Return random images, uint8 `[count, channels, *sides]`."""
    return np.random.default_rng(0).integers(0, 256, (count, channels, *sides), dtype=np.uint8)


def compared(
    predictors: Mapping[str, tuple[Predictor, Sequence[Images]]], reference: str, quick: bool
) -> dict[tuple[str, int], tuple[Timing, tuple[float, float, float]]]:
    """Measure predictors in turns, each on batches of its own.

    Returns
    -------
    dict
        For each predictor and number of images, its timing, and median, lower and upper quartile over the
        rounds of the ratio of the median of `reference` to its own.
    """
    calls, rounds = (2, 1) if quick else (10, 7)

    def measure(predictor: Predictor, batches: Sequence[Images]) -> dict[str, Any]:
        return {str(len(images)): times_of(predictor, [images], calls) for images in batches}

    found = interleaved(
        {name: lambda its=its: measure(*its) for name, its in predictors.items()}, rounds, rounds
    )
    medians = {
        (name, int(count)): np.array([np.median(times) for times in each])
        for name, kinds in found.items()
        for count, each in kinds.items()
    }
    return {
        (name, count): (
            Timing.of(found[name][str(count)]),
            spread(list(medians[reference, count] / values)),
        )
        for (name, count), values in medians.items()
    }


def rows_of(subject: Subject, quick: bool) -> list[Row]:
    """Export a model in several formats, and compare the files with the module."""
    networks = [subject.build(seed) for seed in range(subject.members)]
    module = Ensemble(networks) if len(networks) > 1 else networks[0]
    card = Card("model", tuple(CLASSES))
    eager = ModulePredictor(module, card.name, card.class_names)
    batches = [images_of(count, eager.channels, subject.sides) for count in COUNTS]
    predictors: dict[str, tuple[Predictor, Sequence[Images]]] = {EAGER: (eager, batches)}
    formats = {text: ExportFormat.of(text) for text in subject.formats}
    notes, rows = {EAGER: f"{size_mb(module):.2f} MB"}, list[Row]()
    what = f"{subject.members} x {subject.name}"
    runtimes = one_thread({its.format for its in formats.values()})
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, runtimes:
        for text, its in formats.items():
            try:
                predictor, notes[text] = exported(its, eager, card, batches, Path(folder, its.name))
            except DependencyError as error:
                rows.append(absent(QUESTION, f"{what}, {text}", EAGER, None, error.expected))
                continue
            batch = its.options.get("batch")  # a file of another batch size divides or fills batches
            own = [images for images in batches if batch in (None, len(images))]
            predictors[text] = (predictor, own)
        found = compared(predictors, EAGER, quick)
    for (name, count), (timing, ratio) in found.items():
        work = f"{what}, {name}, batch of {count}, one thread"
        goal = subject.target if (name, count) == ("onnx", 1) else None
        note = f"p95 {timing.p95:.3g} ms; {notes[name]}"
        if name == EAGER:
            rows.append(Row(QUESTION, work, "", timing.median, note=note, unit="ms"))
        else:
            rows.append(Row(QUESTION, work, EAGER, timing.median, *ratio, goal, note, "ms"))
    return rows


def exported(
    its: ExportFormat, eager: ModulePredictor, card: Card, batches: Sequence[Images], folder: Path
) -> tuple[Predictor, str]:
    """Return an exported file, which is compared with its module, and what the export cost."""
    exporter = its.make()
    folder.mkdir()
    start = time.perf_counter()
    file = exporter.export(eager.module, torch.tensor(batches[1]), folder, card)
    seconds = time.perf_counter() - start
    predictor = exporter.load(file, eager.module)
    check_parity(eager, predictor, batches, its.name, exporter.tolerance)
    # Beside the program, a folder may contain a script, which is not counted.
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.suffix != ".py")
    return predictor, f"exported in {seconds:.1f} s, {size / 1e6:.2f} MB"


def measure(quick: bool) -> list[Row]:
    """Compare all formats that can be written here."""
    subjects = [replace(SUBJECTS[0], members=2, formats=("torchscript", "onnx"))] if quick else SUBJECTS
    return [row for subject in subjects for row in rows_of(subject, quick)]


if __name__ == "__main__":
    main(measure, packages=PACKAGES)

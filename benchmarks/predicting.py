"""Prediction of a folder of JPEG files by five networks: `committee predict`, a script, and the memory.

The photographs are parts of two that scikit-learn ships, of several sizes around 500 x 375 pixels. Both sides
predict with the same networks with random weights, in the same process, in alternation, and count everything
from the files to probabilities. The script is the usual one: a DataLoader that decodes with Pillow, resizes
and normalizes with torchvision, once for all networks, in batches of 32. The file is an ONNX file of the same
ensemble. The memory is that of the images, above that of the loaded model.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Row, compare, installed, main
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from committee.exporters.base import Card, open_exported
from committee.exporters.onnx import Onnx
from committee.images.view import View, canvas_size
from committee.inference.photos import find_photos
from committee.inference.predict import predict
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.predictor import ModulePredictor, Predictor

QUESTION = "predict a folder"
CLASSES = [f"class {number}" for number in range(10)]


def write_photos(folder: Path, count: int) -> None:
    """Write `count` JPEG files of different sizes."""
    rng = np.random.default_rng(0)
    photos = load_sample_images().images
    for row in range(count):
        height, width = int(rng.integers(300, 427)), int(rng.integers(380, 640))
        top, left = int(rng.integers(0, 428 - height)), int(rng.integers(0, 641 - width))
        piece = photos[row % 2][top : top + height, left : left + width]
        Image.fromarray(piece).save(folder / f"{row:05d}.jpg", quality=90)


class Photos(Dataset[Tensor]):
    """Files, as the script reads them."""

    def __init__(self, files: list[Path], view: View) -> None:
        side = canvas_size(view.size)
        self.files = files
        self.transform = v2.Compose(
            [
                v2.Resize(side),
                v2.CenterCrop(view.size),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(view.mean, view.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> Tensor:
        with Image.open(self.files[row]) as image:
            pixels: Tensor = self.transform(image.convert("RGB"))
        return pixels


@torch.inference_mode()
def script(members: list[Member], files: list[Path], workers: int) -> Tensor:
    """Return the mean probability of each file."""
    loader = DataLoader(Photos(files, members[0].view), 32, num_workers=workers)
    return torch.cat(
        [torch.stack([member.network(images).softmax(1) for member in members]).mean(0) for images in loader]
    )


def ours(model: Predictor, files: list[Path]) -> list[Any]:
    """Return the probabilities of each file."""
    return [each.probabilities for each in predict(model, files)]


def memory(call: Callable[[], Any]) -> float | None:
    """Return by how many MB the memory of this process grows during a call; None without Linux."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None

    def used() -> int:
        lines = status.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

    start, most, done = used(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            most[0] = max(most[0], used())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        call()
    finally:
        done.set()
        thread.join()
    return max(0, most[0] - start) / 1024


def build(quick: bool) -> tuple[str, list[Member]]:
    """Return what the five members are, and the members."""
    if quick:
        nets = [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16**2, 10)) for _ in range(5)]
        return "5 x linear at 16 px", [Member.from_module(net, classes=CLASSES, size=16) for net in nets]
    given: dict[str, Any] = {"classes": CLASSES, "size": 64}
    return "5 x resnet18 at 64 px", [
        Member.build("timm:resnet18", **given, name=f"m{seed}", seed=seed) for seed in range(5)
    ]


def open_both(ensemble: Ensemble, folder: Path) -> dict[str, Predictor]:
    """Return the module, and the ONNX file if onnxruntime is installed."""
    found: dict[str, Predictor] = {"module": ModulePredictor(ensemble, "five", CLASSES)}
    if installed("onnxruntime") and installed("onnxscript"):
        example = torch.zeros(2, 3, 80, 90, dtype=torch.uint8)
        found["ONNX file"] = open_exported(
            Onnx().export(ensemble, example, folder, Card.of(ensemble, "five"))
        )
    return found


def rows_of(work: str, model: Predictor, members: list[Member], files: list[Path], quick: bool) -> list[Row]:
    """Return the ratio of the script to a model, and the memory of the images."""
    workers, rounds = (0, 1) if quick else (2, 3)
    first, expected = ours(model, files[:1])[0], script(members, files[:1], 0)[0].numpy()
    grown = memory(lambda: ours(model, files))
    own, *ratio = compare(
        lambda: ours(model, files), lambda: script(members, files, workers), rounds, warm_up=False
    )
    peer = f"script, {workers} workers"
    note = f"largest difference of a probability from the script {np.abs(first - expected).max():.0e}"
    found = [Row(QUESTION, work, peer, own, *ratio, target=2, note=note)]
    if grown is not None:
        found.append(Row(QUESTION, f"{work}: memory", "", grown, target=200, unit="MB"))
    return found


def measure(quick: bool) -> list[Row]:
    """Return the rows of the module and of the file."""
    what, members = build(quick)
    work = f"{12 if quick else 2000} JPEG, {what}, {torch.get_num_threads()} threads"
    ensemble = Ensemble(members).eval()
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder, "photos")
        photos.mkdir()
        write_photos(photos, 12 if quick else 2000)
        files = find_photos([photos])
        if quick:
            models: dict[str, Predictor] = {"module": ModulePredictor(ensemble, "five", CLASSES)}
        else:
            models = open_both(ensemble, Path(folder))
        return [
            row
            for kind, model in models.items()
            for row in rows_of(f"{work}, {kind}", model, members, files, quick)
        ]


if __name__ == "__main__":
    main(measure, threads=None)

"""How fast batches come: the canvas cache against torchvision's ImageFolder and DataLoader, side by side.

Pieces of photographs that scikit-learn ships, as JPEG files of 256 x 256 pixels, in shuffled batches of 32,
one torch thread. Two products: `uint8` squares, and `augmented` ones (random resized crop, flip, colour
jitter, normalised). The runs take turns, so that a busy machine slows both. Prints one table; `--json` prints
the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from committee.images.augment import augment
from committee.images.dataset import Dataset, open_dataset
from committee.images.view import View, canvas_size
from committee.randomness import sample_keys
from committee.recipe.dataset import Dataset as Settings
from committee.recipe.training import Augment
from committee.store.layout import Store

SIZE, BATCH = 224, 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VARIED = Augment(flip=True, color_jitter=0.2, random_resized_crop=0.5, randaugment=0)
Epoch = Callable[[], Iterator[Tensor]]


def write_photos(root: Path, count: int) -> None:
    """Write `count` JPEG files in two classes."""
    rng = np.random.default_rng(0)
    for name, photo in zip(("china", "flower"), load_sample_images().images, strict=True):
        (root / name).mkdir(parents=True)
        for row in range(count // 2):
            top, left = rng.integers(0, photo.shape[0] - 256), rng.integers(0, photo.shape[1] - 256)
            piece = Image.fromarray(photo[top : top + 256, left : left + 256])
            piece.save(root / name / f"{row}.jpg", quality=90)


def theirs(root: Path, workers: int) -> dict[str, Epoch]:
    """Return torchvision's epochs, by product."""
    square = canvas_size(SIZE)
    plain = v2.Compose([v2.Resize(square), v2.CenterCrop(square), v2.PILToTensor()])
    varied = v2.Compose([
        v2.RandomResizedCrop(SIZE, scale=(0.5, 1)), v2.RandomHorizontalFlip(),
        v2.ColorJitter(0.2, 0.2, 0.2), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD),
    ])  # fmt: skip

    def epoch(transform: v2.Transform) -> Iterator[Tensor]:
        loader = DataLoader(ImageFolder(root, transform), BATCH, shuffle=True, num_workers=workers)
        return (images for images, _ in loader)

    return {"uint8": lambda: epoch(plain), "augmented": lambda: epoch(varied)}


def ours(dataset: Dataset) -> dict[str, Epoch]:
    """Return the cache's epochs, by product."""
    view, keys = View(SIZE, MEAN, STD), sample_keys(dataset.sample_ids)

    def batches() -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
        order = np.random.default_rng().permutation(len(dataset.labels))
        return (order[start : start + BATCH] for start in range(0, len(order), BATCH))

    def varied() -> Iterator[Tensor]:
        for rows in batches():
            yield view.normalise(augment(dataset.images(rows), keys[rows], SIZE, VARIED, seed=1))

    return {"uint8": lambda: (dataset.images(rows) for rows in batches()), "augmented": varied}


def rate(epoch: Epoch) -> float:
    """Return images a second over one epoch."""
    start = time.perf_counter()
    count = sum(len(images) for images in epoch())
    return count / (time.perf_counter() - start)


def measure(count: int, workers: list[int], repeats: int) -> dict[str, Any]:
    """Return the rates of every reader and product, and how long the cache took to make."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        write_photos(Path(folder) / "photos", count)
        settings = Settings(path=str(Path(folder) / "photos"), num_workers=max(1, *workers))
        start = time.perf_counter()
        dataset = open_dataset(
            settings, Store(Path(folder) / "store"), canvas_size=canvas_size(SIZE), folds=0, seed=0
        )
        seconds = time.perf_counter() - start
        readers = {"cache": ours(dataset)}
        readers |= {f"DataLoader, {n} workers": theirs(Path(folder) / "photos", n) for n in workers}
        rates: dict[str, dict[str, list[float]]] = {
            p: {r: [] for r in readers} for p in ("uint8", "augmented")
        }
        for turn in range(repeats + 1):
            for product, by_reader in rates.items():
                for reader, kept in by_reader.items():
                    measured = rate(readers[reader][product])
                    if turn:
                        kept.append(measured)
    return {"images": count, "decoding_seconds": seconds, "rates": rates}


def ratios(rates: dict[str, list[float]]) -> dict[str, tuple[float, float, float]]:
    """Return median, lowest and highest of cache over each other reader, turn by turn."""
    result = {}
    for reader, theirs in rates.items():
        each = [mine / other for mine, other in zip(rates["cache"], theirs, strict=True)]
        result[reader] = (statistics.median(each), min(each), max(each))
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="of the DataLoader")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(arguments.images, arguments.workers, arguments.repeats)
    found["ratios"] = {product: ratios(rates) for product, rates in found["rates"].items()}
    found["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    found["versions"] = {"python": platform.python_version(), "torch": torch.__version__,
                         "torchvision": torchvision.__version__, "pillow": Image.__version__}  # fmt: skip
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{found['machine']}; {found['versions']}")
    print(f"{found['images']} images decoded once in {found['decoding_seconds']:.1f} s")
    for product, rates in found["rates"].items():
        for reader, measured in rates.items():
            middle, low, high = found["ratios"][product][reader]
            speed = statistics.median(measured)
            gain = f"cache is {middle:.1f}x [{low:.1f}, {high:.1f}]"
            print(f"{product:10} {reader:22} {speed:9.0f} images/s   {gain}")


if __name__ == "__main__":
    main()

"""Images per second of the image cache, compared with torchvision's ImageFolder and DataLoader.

The images are parts of photographs that scikit-learn ships, as JPEG files of 256 x 256 pixels, in shuffled
batches of 32. The DataLoader has no worker or two persistent ones, whichever is faster. The cache is read
by one thread, and by two processes that read half of the batches each, like two parallel fits, so that both
sides may use two cores. The DataLoader is measured with Pillow's transforms, the usual ones, and with the
v2 transforms on uint8 tensors, which torchvision recommends for speed. The cache returns float batches in
the channels-last format, as the training of convolutions needs them; those of the DataLoader are not yet
converted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Row, compare, main, seconds
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from committee.base.randomness import sample_keys
from committee.images.augment import augment
from committee.images.dataset import Dataset, open_dataset
from committee.images.view import View, canvas_size
from committee.recipe.augment import Amounts
from committee.recipe.dataset import Dataset as Settings
from committee.store.layout import Store
from committee.training.fit.allocator import keep_freed_memory

SIZE, BATCH, WORKERS = 224, 32, (0, 2)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
JITTER = {"crop, flip, normalize": 0.0, "crop, flip, jitter, normalize": 0.2}
Epoch = Callable[[], Any]


def write_photos(root: Path, count: int) -> None:
    """Write `count` JPEG files in two classes."""
    rng = np.random.default_rng(0)
    for name, photo in zip(("china", "flower"), load_sample_images().images, strict=True):
        (root / name).mkdir(parents=True)
        for row in range(count // 2):
            top, left = rng.integers(0, photo.shape[0] - 256), rng.integers(0, photo.shape[1] - 256)
            piece = Image.fromarray(photo[top : top + 256, left : left + 256])
            piece.save(root / name / f"{row}.jpg", quality=90)


def their_transforms() -> dict[tuple[str, str], v2.Transform]:
    """Return the transforms of torchvision, by task and kind."""
    square = canvas_size(SIZE)
    found = {("uint8", "Pillow"): v2.Compose([v2.Resize(square), v2.CenterCrop(square), v2.PILToTensor()])}
    finish = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    for work, amount in JITTER.items():
        vary = [v2.RandomResizedCrop(SIZE, scale=(0.5, 1)), v2.RandomHorizontalFlip()]
        vary += [v2.ColorJitter(amount, amount, amount)] if amount else []
        found[work, "Pillow"] = v2.Compose([*vary, v2.PILToTensor(), *finish])
        found[work, "v2 on tensors"] = v2.Compose([v2.PILToTensor(), *vary, *finish])
    return found


def theirs(root: Path, transform: v2.Transform, workers: int) -> Epoch:
    """Return one epoch of the DataLoader."""
    loader = DataLoader(
        ImageFolder(root, transform), BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    return lambda: sum(len(images) for images, _ in loader)


def ours(dataset: Dataset, part: slice = slice(None)) -> dict[str, Epoch]:
    """Return epochs, or parts of epochs, of the cache, by task."""
    view, keys = View(SIZE, MEAN, STD), sample_keys(dataset.sample_ids)

    def batches() -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
        order = np.random.default_rng().permutation(len(dataset.labels))
        return (order[start : start + BATCH] for start in range(0, len(order), BATCH)[part])

    def varied(amount: float) -> Iterator[Tensor]:
        amounts = Amounts(flip=True, color_jitter=amount, random_resized_crop=0.5)
        for rows in batches():
            yield augment(dataset.images(rows), keys[rows], view, amounts, 1, torch.channels_last)

    found: dict[str, Epoch] = {"uint8": lambda: sum(len(dataset.images(rows)) for rows in batches())}
    for work, amount in JITTER.items():
        found[work] = lambda amount=amount: sum(len(images) for images in varied(amount))
    return found


def opened(root: Path, store: Path) -> Dataset:
    """Return the images from the cache of a store."""
    return open_dataset(Settings(path=str(root)), Store(store), img_sizes=[SIZE], folds=0, seed=0)


_half: dict[str, Epoch] = {}


def begin(root: Path, store: Path) -> None:
    """Prepare one of the two processes."""
    torch.set_num_threads(1)
    keep_freed_memory()
    dataset = opened(root, store)
    _half.update(ours(dataset, slice(0, None, 2)))


def half(work: str) -> int:
    """Read half of the batches."""
    return int(_half[work]())


def measure(quick: bool) -> list[Row]:
    """Return one row per task, kind of transforms and number of processes; with `quick`, only one."""
    count = 16 if quick else 640
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        root, store = Path(folder) / "photos", Path(folder) / "store"
        write_photos(root, count)
        dataset = opened(root, store)
        keep_freed_memory()  # like every fit on a CPU
        epochs = ours(dataset)
        with ProcessPoolExecutor(2, get_context("spawn"), begin, (root, store)) as pool:

            def both(work: str) -> int:
                return sum(pool.map(half, (work, work)))

            if not quick:
                both("uint8")  # the processes start
            rows = []
            for (work, kind), transform in their_transforms().items():
                loaders = [theirs(root, transform, n) for n in WORKERS]
                ways = {"one thread": epochs[work]}
                if not quick:
                    ways["two processes"] = partial(both, work)
                rows += compared(work, kind, count, ways, loaders, quick)
            return rows


def compared(
    work: str, kind: str, count: int, ways: dict[str, Epoch], loaders: list[Epoch], quick: bool
) -> list[Row]:
    """Compare with the faster number of workers."""
    took = [min(seconds(loader) for _ in range(2)) for loader in loaders]
    best = took.index(min(took))
    rows = []
    for way, mine in ways.items():
        own, *ratios = compare(mine, loaders[best], 1 if quick else 5, warm_up=not quick)
        peer = f"ImageFolder + DataLoader, {kind}, {WORKERS[best]} workers"
        note = f"{count / own:,.0f} images/s against {count / own / ratios[0]:,.0f}"
        target = 40 if work == "uint8" else 20
        rows.append(
            Row("reading", f"{count} images, {work}, {way}", peer, own, *ratios, target=target, note=note)
        )
    return rows


if __name__ == "__main__":
    main(measure)

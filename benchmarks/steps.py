"""A training step of committee, without augmentation, compared with a bare loop over a tensor.

Both train the same MLP on 28 x 28 images in batches of 64. The bare loop indexes a tensor that was normalized
before and clips no gradients; ours reads uint8 images from the cache and normalizes them, asks for signals,
sets the learning rate, and sums up loss and accuracy. Both run in this process, one epoch after the other in
alternation, on one thread; the figure is the CPU time of a step.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from harness import Row, main, spread
from numpy.typing import NDArray
from torch import nn

from committee.pipeline.shared.to_train import open_for
from committee.recipe.load import load_recipe
from committee.store.layout import Store
from committee.training.fit.engine import make_fabric
from committee.training.fit.job import Extra, Job
from committee.training.fit.loop import Loop

CPU = torch.device("cpu")
BATCH = 64
SETTINGS = (
    "dataset.channels=1",
    "dataset.img_size=28",
    "dataset.fit=squash",
    f"dataset.batch_size={BATCH}",
    "training={folds: 0, epochs: 100, pretrained: false, warmup_epochs: 0, clip_grad: null, augment: none}",
    "backbones.include=['python:steps:mlp']",
)


def mlp(classes: int) -> nn.Module:
    """Return a network of three layers."""
    hidden = [nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(256, classes))


def bare(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Iterator[int]:
    """Train an epoch at each iteration; yield the number of its steps."""
    pixels, targets = torch.from_numpy(images).float()[:, None] / 255, torch.from_numpy(labels)
    torch.manual_seed(0)
    net = mlp(10)
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    while True:
        batches = torch.randperm(len(pixels)).split(BATCH)
        for rows in batches:
            nn.functional.cross_entropy(net(pixels[rows]), targets[rows]).backward()
            optimizer.step()
            optimizer.zero_grad()
        yield len(batches)


def ours(folder: Path) -> Iterator[int]:
    """Train an epoch at each iteration; yield the number of its steps."""
    recipe = load_recipe(None, [f"dataset.path={folder / 'data.npz'}", *SETTINGS])
    (spec,) = recipe.members()
    dataset = open_for(recipe, [spec], Store(folder / "store"))
    rows = dataset.rows("train")
    job = Job(spec, dataset, rows, "refit", CPU, folder / "state", "", None, BATCH, Extra())
    loop = Loop(job, make_fabric(CPU, "fp32"))

    def advance(images: int) -> None:
        """Show no bar."""

    while True:
        epoch, count = loop._epoch(advance), 0
        try:
            request = next(epoch)
            while True:
                count += 1
                request = epoch.send(loop.step(request.positions))
        except StopIteration as end:
            loop.state.end_epoch(end.value)
        yield count


def milliseconds(epochs: Iterator[int]) -> float:
    """Return the CPU time of a step of the next epoch."""
    start = time.process_time()
    count = next(epochs)
    return 1e3 * (time.process_time() - start) / count


def measure(quick: bool) -> list[Row]:
    """Measure in alternation."""
    count, rounds = (640, 3) if quick else (10_000, 15)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    labels = rng.integers(0, 10, count)
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "data.npz", images=images, labels=labels)
        both = ours(Path(folder)), bare(images, labels)
        times = [tuple(map(milliseconds, both)) for _ in range(rounds + 1)][1:]
        middle, low, high = spread([theirs / own for own, theirs in times])
    own = statistics.median(own for own, _ in times)
    return [
        Row("training step", "MLP 28x28, batch 64", "bare loop", own, middle, low, high, 1 / 1.1, unit="ms")
    ]


if __name__ == "__main__":
    main(measure)

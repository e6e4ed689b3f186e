"""Loss barriers between networks with different starts, before and after their channels are aligned.

Two networks of three convolutions with batch norm are trained on 1,197 digits of scikit-learn, with random
shifts, from different initial weights; the barrier is measured on 600 other digits.
Alignment helps wide networks most (Ainsworth et al. 2023). The barrier between a network and itself shows the
error of the measurement.
"""

from __future__ import annotations

import numpy as np
import torch
from harness import Row, main
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from committee.images.dataset import Dataset
from committee.images.view import CanvasSpec
from committee.models.member import Member
from committee.training.fit.weight_averager import SoupContext, WeightAverager

SIZE, TRAINED = 8, 1197


def digits() -> Dataset:
    """Return the digits as a data set whose last rows are a val split."""
    found = load_digits()
    rows = len(found.target)
    order = np.random.default_rng(0).permutation(rows)
    splits = np.where(np.arange(rows) < TRAINED, "train", "val")
    return Dataset(
        name="digits",
        fingerprint="digits",
        canvases={CanvasSpec(SIZE, "squash", 1): (found.images[order] * 15.9).astype(np.uint8)[..., None]},
        labels=found.target[order].astype(np.int64),
        sample_ids=np.arange(rows).astype(str),
        class_names=tuple("0123456789"),
        splits=splits,
        folds=np.where(splits == "train", 0, -1),
        groups=None,
        fit="squash",
        channels=1,
    )


def network(width: int, seed: int) -> nn.Module:
    """Return an untrained network."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((1, width, 1), (width, width, 2), (width, width, 2)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, len("0123456789")))


def trained(data: Dataset, width: int, seed: int, epochs: int) -> Member:
    """Return a trained member."""
    net = network(width, seed)
    member = Member.from_module(
        net,
        classes=data.class_names,
        size=SIZE,
        mean=0.5,
        std=0.5,
        fit="squash",
        channels=1,
        name=f"net_{seed}",
    )
    rows = data.rows("train")
    images, labels = member.view(data.images(rows)), torch.from_numpy(data.labels[rows])
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(net.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, epochs * (len(rows) // 64 + 1))
    net.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(rows), generator=generator).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(net(_shifted(images[batch], generator)), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    return member.eval()


def _shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    down, across = torch.randint(-1, 2, (2,), generator=generator).tolist()
    return images.roll((down, across), (2, 3))


def measure(quick: bool) -> list[Row]:
    """Return the barriers for networks of several widths."""
    data, answers = digits(), []
    for width in (8,) if quick else (16, 64, 256):
        members = {f"net_{seed}": trained(data, width, seed, 1 if quick else 15) for seed in (1, 2)}
        context = SoupContext(
            data, data.rows("train"), data.rows("val"), 64, torch.device("cpu"), True, 20, seed=0
        )
        averager = WeightAverager(members | {"again": members["net_1"]}, context, "benchmark")
        own, before = averager.barrier("net_1", "again"), averager.barrier("net_1", "net_2")
        averager.align("net_2", "net_1")
        after = averager.barrier("net_1", "net_2")
        losses = " and ".join(f"{averager.loss(member):.3f}" for member in members.values())
        question = "loss barrier between networks of three convolutions"
        answers += [
            Row(question, f"{width} channels, a network and itself", "", own, unit="nats"),
            Row(question, f"{width} channels, two starts", "", before, unit="nats", note=f"losses {losses}"),
            Row(question, f"{width} channels, two starts, aligned", "", after, unit="nats"),
        ]
    return answers


if __name__ == "__main__":
    main(measure)

"""Networks and data that several benchmarks use: those of PyTorch's and the peers' tutorials."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` has its files."""


class SimpleCNN(nn.Module):
    """The network of PyTorch's tutorial on model ensembling with `torch.func`, 1.2 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3, 1), nn.Conv2d(32, 64, 3, 1)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[B, 10]` of images `[B, 1, 28, 28]`."""
        x = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        x = functional.max_pool2d(x, 2).flatten(1)
        return self.fc2(functional.relu(self.fc1(x)))


class MLP(nn.Module):
    """A perceptron with two hidden layers of 256, 270 thousand parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 256), nn.Linear(256, 256), nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[B, 10]` of images `[B, 1, 28, 28]`."""
        return self.fc3(functional.relu(self.fc2(functional.relu(self.fc1(x.flatten(1))))))


class LeNet(nn.Module):
    """LeNet-5 (LeCun 1998) with ReLU and maximum pooling, 62 thousand parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits `[B, 10]` of images `[B, 1, 28, 28]`."""
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        return self.fc3(functional.relu(self.fc2(functional.relu(self.fc1(x.flatten(1))))))


def resnet18() -> nn.Module:
    """Return timm's resnet18 for 10 classes, 11.2 million parameters."""
    import timm

    return timm.create_model("resnet18", num_classes=10)


def vit_tiny() -> nn.Module:
    """Return timm's ViT-tiny for 10 classes and images of 96 pixels, 5.4 million parameters."""
    import timm

    return timm.create_model("vit_tiny_patch16_224", img_size=96, num_classes=10)


class Labeled(NamedTuple):
    """Images float32 `[N, 1, 28, 28]`, normalized, and their classes int64 `[N]`."""

    images: Tensor
    classes: Tensor


def fashion(train: int, test: int) -> tuple[str, Labeled, Labeled]:
    """Return the name of the data, and the first rows of both splits.

    Fashion-MNIST (Xiao 2017) where Debian's package is installed, otherwise scikit-learn's digits, enlarged.
    """
    if FASHION.is_dir():
        return "Fashion-MNIST", *(_idx(name, count) for name, count in (("train", train), ("t10k", test)))
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = functional.interpolate(torch.from_numpy(digits.images).float()[:, None] / 16, (28, 28))
    images, classes = (images - 0.3) / 0.35, torch.from_numpy(digits.target).long()
    edge = min(train, 1200)
    return "digits", Labeled(images[:edge], classes[:edge]), Labeled(images[1200:], classes[1200:])


def _idx(name: str, count: int) -> Labeled:
    parts = (("images-idx3", 16), ("labels-idx1", 8))
    pixels, labels = (
        np.frombuffer(gzip.decompress((FASHION / f"{name}-{kind}-ubyte.gz").read_bytes()), np.uint8, -1, skip)
        for kind, skip in parts
    )
    images = torch.from_numpy(pixels.reshape(-1, 1, 28, 28)[:count].copy()).float()
    return Labeled((images / 255 - 0.286) / 0.353, torch.from_numpy(labels[:count].copy()).long())


def linear(classes: int, channels: int) -> nn.Module:
    """Return a linear network for 8 x 8 pixels: `python:peers.small_networks:linear` in a recipe."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, classes))

"""The main job as a plain script: ImageFolder, timm, StratifiedKFold, one fit after the other.

The recipe is the one that `main_job.py` gives to `committee train`: random weights, AdamW without weight
decay of norms and biases, warm-up and cosine schedule, clipped gradients, out-of-fold predictions, a refit,
and its predictions of the test split. Every fit uses torch's default threads.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from pathlib import Path

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from timm.optim import param_groups_weight_decay
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def transforms(size: int) -> tuple[v2.Transform, v2.Transform]:
    """Return the transforms of training images and of other images."""
    last = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    varied = v2.Compose([v2.RandomResizedCrop(size, scale=(0.5, 1)), v2.ColorJitter(0.2, 0.2, 0.2), *last])
    return varied, v2.Compose([v2.Resize(math.ceil(1.15 * size)), v2.CenterCrop(size), *last])


def fit(network: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]], epochs: int, lr: float) -> None:
    """Train a network."""
    device = next(network.parameters()).device
    optimizer = torch.optim.AdamW(param_groups_weight_decay(network, 0.01), lr=lr)
    steps, warmup = epochs * len(loader), min(1.0, epochs / 5) * len(loader)

    def rate(step: int) -> float:
        if step < warmup:
            return (step + 0.5) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step + 0.5 - warmup) / (steps - warmup)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    network.train()
    for _ in range(epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(images.to(device)), labels.to(device))
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()


@torch.inference_mode()
def predict(network: nn.Module, loader: DataLoader[tuple[Tensor, Tensor]]) -> NDArray[np.float32]:
    """Return probabilities, float32 `[N, C]`."""
    device = next(network.eval().parameters()).device
    return np.concatenate([network(images.to(device)).softmax(1).cpu().numpy() for images, _ in loader])


def main() -> None:
    """Cross-fit every backbone, and write the predictions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with train/<class> and test/<class>")
    parser.add_argument("out", type=Path)
    parser.add_argument("settings", type=json.loads, help="backbones, size, batch, ..., device, seed")
    asked = parser.parse_args()
    given = asked.settings
    # One loader per core is the usual choice.
    workers = os.cpu_count() or 1
    varied, plain = transforms(given["size"])
    train, shown = ImageFolder(asked.data / "train", varied), ImageFolder(asked.data / "train", plain)
    test = ImageFolder(asked.data / "test", plain)
    labels, everything = np.array(train.targets), np.arange(len(train))

    def batches(
        data: ImageFolder, rows: NDArray[np.int64], learn: bool = False
    ) -> DataLoader[tuple[Tensor, Tensor]]:
        part = Subset(data, rows.tolist())
        return DataLoader(
            part,
            given["batch"],
            shuffle=learn,
            drop_last=learn,
            num_workers=workers,
            persistent_workers=learn,
        )

    for backbone in given["backbones"]:
        oof = np.empty((len(train), len(train.classes)), np.float32)
        folds = StratifiedKFold(given["folds"], shuffle=True, random_state=given["seed"])
        for learned, held_out in [*folds.split(everything, labels), (everything, everything[:0])]:
            torch.manual_seed(given["seed"])
            network = timm.create_model(backbone, num_classes=len(train.classes)).to(given["device"])
            fit(network, batches(train, learned, learn=True), given["epochs"], given["lr"])
            if len(held_out):
                oof[held_out] = predict(network, batches(shown, held_out))
        probabilities = predict(network, batches(test, np.arange(len(test))))
        np.savez(
            asked.out / f"{backbone}.npz", oof=oof, test=probabilities, labels=labels, truth=test.targets
        )


if __name__ == "__main__":
    main()

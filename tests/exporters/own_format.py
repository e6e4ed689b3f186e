"""What a user writes: a small network, a function that writes a module, and one that opens it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def small(classes: int, channels: int) -> torch.nn.Module:
    """Return a network that every tool translates within seconds."""
    nn = torch.nn
    convolution, pool = nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(convolution, nn.ReLU(), pool, nn.Flatten(), nn.Linear(4, classes))


def write(module: torch.nn.Module, example: torch.Tensor, folder: Path, card: Any) -> None:
    """Write the module with pickle."""
    torch.save(module, folder / "module.pickle")


def open_model(folder: Path, device: str) -> Callable[[Any], Any]:
    """Return the function of images to probabilities."""
    module = torch.load(folder / "module.pickle", map_location=device, weights_only=False)

    def predict(images: Any) -> Any:
        with torch.inference_mode():
            return module(torch.from_numpy(images).to(device)).softmax(1).cpu().numpy()

    return predict

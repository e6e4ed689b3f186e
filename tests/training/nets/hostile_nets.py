"""Networks that go wrong: they lack memory, diverge, cannot take their images, or signal their process.

What they do is set by environment variables, so that tests can set it for processes that they start.
"""

import os
import signal

import torch
from torch import nn


class Plain(nn.Module):
    """Convolutions and dropout without batch norm: the gradient of a batch is the mean of its images'."""

    def __init__(self, classes: int, channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.GELU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(64, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images))


class Hungry(Plain):
    """Has no memory for more than MOST_IMAGES."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > int(os.environ.get("MOST_IMAGES", "1000000")):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")
        return super().forward(images)


class Skittish(Plain):
    """Gives no numbers once a step has moved its head by more than LARGEST_STEP."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__(classes, channels, dropout=0.1)
        self.register_buffer("before", torch.full_like(self.head.weight, torch.nan).detach())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = super().forward(images)
        if self.training:
            weight = self.head.weight.detach()
            moved = (weight - self.before).norm()
            self.before.copy_(weight)
            if moved > float(os.environ["LARGEST_STEP"]):
                return logits * torch.nan
        return logits


class Signaled(Plain):
    """Sends its process SIGNAL when it is trained on the BATCH-th batch."""

    calls = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training and torch.is_grad_enabled():
            Signaled.calls += 1
            if Signaled.calls == int(os.environ.get("BATCH", "0")):
                os.kill(os.getpid(), getattr(signal, os.environ["SIGNAL"]))
        return super().forward(images)


class Fussy(Plain):
    """Takes other images than it gets in training."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images.view(len(images), 49) if self.training else images)


def hungry(classes: int, channels: int) -> nn.Module:
    return Hungry(classes, channels)


def skittish(classes: int, channels: int) -> nn.Module:
    return Skittish(classes, channels)


def signaled(classes: int, channels: int) -> nn.Module:
    return Signaled(classes, channels, dropout=0.1)


def fussy(classes: int, channels: int) -> nn.Module:
    return Fussy(classes, channels)

"""Networks small enough for tests, each with what makes a resumed run go wrong: batch norm and dropout."""

import itertools
import os
import time

import torch
from torch import nn

from committee.base import interrupt


def tiny(classes: int, channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(128, classes),
    )


BATCHES = itertools.count(1)


def patient(classes: int, channels: int) -> nn.Module:
    """Be `tiny`, but wait in the HOLD_AT-th batch of the process, if it is set, until a signal comes."""

    def wait(module: nn.Module, images: object) -> None:
        if module.training and torch.is_grad_enabled() and next(BATCHES) == int(os.environ.get("HOLD_AT", 0)):
            while not interrupt.requested():
                time.sleep(0.01)

    net = tiny(classes, channels)
    net[0].register_forward_pre_hook(wait)
    return net


def wrong_shape(classes: int, channels: int, img_size: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(channels * img_size**2, classes), nn.Linear(classes, classes + 1)
    )


class Exploding(nn.Module):
    def __init__(self, classes: int, channels: int, img_size: int) -> None:
        super().__init__()
        self.head = nn.Linear(channels * img_size**2, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(images.flatten(1)) * (float("inf") if self.training else 1)


class Detached(Exploding):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(images.flatten(1)).detach().requires_grad_()


def exploding(classes: int, channels: int, img_size: int) -> nn.Module:
    return Exploding(classes, channels, img_size)


def detached(classes: int, channels: int, img_size: int) -> nn.Module:
    return Detached(classes, channels, img_size)


def mortal(classes: int, channels: int) -> nn.Module:
    """Take the process down, but for the one that the environment names."""
    if os.environ["MORTAL_LIVES_IN"] != str(os.getpid()):
        os._exit(7)
    return tiny(classes, channels)


def memory(classes: int, channels: int) -> nn.Module:
    """Return a network that learns the random labels of a few images of 8 x 8 pixels by heart."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, 256), nn.ReLU(), nn.Linear(256, classes))


def perceptron(classes: int, channels: int) -> nn.Module:
    """Return a network of matrix products, which give the same bits in a stack."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(64 * channels, 32),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(32, 32),
        nn.ReLU(),
        nn.Linear(32, classes),
    )

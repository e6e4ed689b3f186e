"""The optimiser of a fit, and the learning rate of each of its steps."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from committee.recipe.training import Training


def make_optimizer(parameters: Iterable[nn.Parameter], settings: Training) -> torch.optim.Optimizer:
    """Return AdamW or SGD, fused into one kernel; norms and biases have no weight decay."""
    learned = [each for each in parameters if each.requires_grad]
    groups = [
        {"params": [each for each in learned if each.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [each for each in learned if each.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "sgd":
        momentum = settings.momentum
        return torch.optim.SGD(groups, lr=settings.lr, momentum=momentum, nesterov=momentum > 0, fused=True)
    return torch.optim.AdamW(groups, lr=settings.lr, fused=True)


def learning_rate(settings: Training, epoch: float, epochs: int) -> float:
    """Return the learning rate after `epoch` of `epochs` epochs; both may be counted in parts of an epoch.

    It rises from near zero through `warmup_epochs`, or a fifth of `epochs` where that is shorter, then falls
    to zero as half a cosine (Loshchilov and Hutter 2017) or stays.
    """
    # A short fit would else be a warm-up and little more.
    warmup = min(settings.warmup_epochs, epochs / 5)
    if epoch < warmup:
        return settings.lr * epoch / warmup
    if settings.scheduler == "constant":
        return settings.lr
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))

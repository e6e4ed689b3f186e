"""The optimizer of a fit, and the learning rate of each of its steps."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from committee.recipe.training import Training


def make_optimizer(
    parameters: Iterable[nn.Parameter], settings: Training, head: Iterable[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """Return AdamW or SGD, fused into one kernel; norms and biases have no weight decay.

    Each group has an `lr_scale`: 1, or `body_lr` for what is not of the head, where there is one.
    """
    of_head = set(map(id, head))
    found = dict[tuple[float, float], list[nn.Parameter]]()
    for each in parameters:
        if each.requires_grad:
            scale = settings.body_lr if of_head and id(each) not in of_head else 1.0
            found.setdefault((scale, settings.weight_decay if each.ndim > 1 else 0.0), []).append(each)
    order = sorted(found, reverse=True)
    groups = [
        {"params": found[scale, decay], "lr_scale": scale, "weight_decay": decay} for scale, decay in order
    ]
    if settings.optimizer == "sgd":
        momentum = settings.momentum
        return torch.optim.SGD(groups, lr=settings.lr, momentum=momentum, nesterov=momentum > 0, fused=True)
    return torch.optim.AdamW(groups, lr=settings.lr, fused=True)


def learning_rate(settings: Training, epoch: float, epochs: int) -> float:
    """Return the learning rate after `epoch` of `epochs` epochs; both may be counted in parts of an epoch.

    It rises from near zero through `warmup_epochs`, or a fifth of `epochs` where that is shorter, then falls
    to zero as half a cosine, or stays, or falls so again and again, in cycles of `cycle_epochs` (Loshchilov
    and Hutter 2017); the first of these begins with the warm-up.
    """
    if settings.scheduler == "cyclic":
        cycle = settings.cycle_epochs
        warmup = min(settings.warmup_epochs, cycle / 5)
        ramp = epoch / warmup if epoch < warmup else 1.0
        return settings.lr * ramp * 0.5 * (1 + math.cos(math.pi * (epoch % cycle) / cycle))
    # A short fit would else be a warm-up and little more.
    warmup = min(settings.warmup_epochs, epochs / 5)
    if epoch < warmup:
        return settings.lr * epoch / warmup
    if settings.scheduler == "constant":
        return settings.lr
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))

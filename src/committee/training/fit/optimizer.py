"""Optimizer of a fit."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from committee.recipe.training import Training


def make_optimizer(
    parameters: Iterable[nn.Parameter], settings: Training, head: Iterable[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """Return AdamW or SGD in its fused implementation, without weight decay of norms and biases.

    Parameters
    ----------
    parameters : iterable of nn.Parameter
        Those that require no gradient are left out.
    settings : Training
    head : iterable of nn.Parameter
        Parameters of the head. If there are any, the learning rate of the others is scaled by `body_lr`.

    Returns
    -------
    torch.optim.Optimizer
        Each parameter group has an `lr_scale`, by which `set_rate` multiplies the learning rate. Call
        `set_rate` before each step.
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
        return torch.optim.SGD(groups, momentum=momentum, nesterov=momentum > 0, fused=True)
    return torch.optim.AdamW(groups, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group to `rate`, times the group's `lr_scale`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]

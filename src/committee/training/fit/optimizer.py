"""Optimizer of a fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from committee.base.compiler import uncompiled
from committee.recipe.training import Training

_SGD: type[Any] = uncompiled(torch.optim.SGD)
_PlainAdamW: type[Any] = uncompiled(torch.optim.AdamW)


class _AdamW(_PlainAdamW):
    """AdamW of torch with one call of its fused implementation for each group of parameters.

    A quarter of the time of torch's method is spent in Python, which a step of a small network waits for.
    """

    @torch.no_grad()
    def step(self) -> None:
        """Make a step; the first one, and those of a scaled loss, are torch's own."""
        learned = [[each for each in group["params"] if each.grad is not None] for group in self.param_groups]
        if hasattr(self, "found_inf") or not all(each in self.state for part in learned for each in part):
            super().step()
            return
        for group, weights in zip(self.param_groups, learned, strict=True):
            if weights:
                self._update(group, weights)

    def _update(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        states = [self.state[each] for each in weights]
        steps = [each["step"] for each in states]
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            weights,
            [each.grad for each in weights if each.grad is not None],
            [each["exp_avg"] for each in states],
            [each["exp_avg_sq"] for each in states],
            [],
            steps,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    def zero_grad(self) -> None:
        """Remove the gradients."""
        for group in self.param_groups:
            for each in group["params"]:
                each.grad = None


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
        return _SGD(groups, momentum=momentum, nesterov=momentum > 0, fused=True)
    return _AdamW(groups, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group to `rate`, times the group's `lr_scale`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]

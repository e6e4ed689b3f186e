"""Optimizer steps of several networks as one: each gets the same bytes as from a step of its own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

Lists = list[list[Tensor]]
"""Parameters, gradients and state of a parameter group, as a fused kernel takes them."""


class JointUpdate:
    """Clips the gradients of several networks, each by its own norm, and updates their parameters.

    One call of the fused kernel serves all networks that have the same learning rate. The optimizers keep
    their groups and their state, so that each can go on alone at any time.

    Parameters
    ----------
    optimizers : sequence of torch.optim.Optimizer
        As `make_optimizer` makes them, with the same settings. Each has made its state in a first step.
    clip_grad : float or None
        Largest norm of the gradient of a network.
    """

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer], clip_grad: float | None) -> None:
        self.optimizers, self.clip_grad = optimizers, clip_grad
        self._lists = [[_lists(each, group) for group in each.param_groups] for each in optimizers]
        self._gradients = [[grad for lists in groups for grad in lists[1]] for groups in self._lists]

    @torch.no_grad()
    def __call__(self) -> None:
        """Clip and update; gradients are not set to zero."""
        if self.clip_grad is not None:
            _clip(self._gradients, self.clip_grad)
        found: dict[tuple[float, float], tuple[dict[str, Any], list[Lists]]] = {}
        for optimizer, groups in zip(self.optimizers, self._lists, strict=True):
            for group, lists in zip(optimizer.param_groups, groups, strict=True):
                found.setdefault((group["lr"], group["weight_decay"]), (group, []))[1].append(lists)
        for group, parts in found.values():
            _update([list(chain(*each)) for each in zip(*parts, strict=True)], group)


def _lists(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> Lists:
    """Return parameters with a gradient, their gradients, and the lists of their state."""
    used = [each for each in group["params"] if each.grad is not None]
    kinds = ("momentum_buffer",) if "momentum" in group else ("exp_avg", "exp_avg_sq", "step")
    state = [[optimizer.state[each][kind] for each in used] for kind in kinds]
    return [used, [each.grad for each in used], *state]


def _clip(gradients: Sequence[list[Tensor]], most: float) -> None:
    """Scale the gradients of each network to a norm of at most `most`, as `clip_grad_norm_` does."""
    norms = iter(torch._foreach_norm(list(chain(*gradients))))
    for own in gradients:
        if own:
            total = torch.linalg.vector_norm(torch.stack([next(norms) for _ in own]))
            torch._foreach_mul_(own, torch.clamp(most / (total + 1e-6), max=1.0))


def _update(lists: Lists, group: dict[str, Any]) -> None:
    """Update the parameters of groups with the same settings."""
    shared = {key: group[key] for key in ("lr", "weight_decay", "maximize")}
    if "momentum" in group:
        params, grads, buffers = lists
        own = {key: group[key] for key in ("momentum", "dampening", "nesterov")}
        sgd(params, grads, list(buffers), fused=True, **own, **shared)
        return
    params, grads, averages, squares, steps = lists
    beta1, beta2 = group["betas"]
    own = {"amsgrad": group["amsgrad"], "eps": group["eps"]}
    adamw(params, grads, averages, squares, [], steps, fused=True, beta1=beta1, beta2=beta2, **own, **shared)

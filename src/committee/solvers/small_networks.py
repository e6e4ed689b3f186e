"""Small networks on members' answers: their layers as tensors, and how they are trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BATCH = 256
DECAY = 1e-2

Judge = Callable[[Sequence[Tensor]], float]
Start = Callable[[torch.Generator], list[Tensor]]
Rows = NDArray[np.int64]


class Task(Protocol):
    """What parameters are trained for."""

    def loss(self, parameters: Sequence[Tensor], rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the mean log-loss of rows, int64 `[B]`; dropout is drawn from the generator, if any."""


def train_chosen(
    task: Task,
    start: Start,
    pairs: Sequence[tuple[Rows, Rows]],
    rows: int,
    *,
    epochs: int,
    lr: float,
    seed: int,
) -> tuple[list[Tensor], dict[str, Any]]:
    """Train on all rows for the number of epochs that is best by cross-validation; none may be best.

    Parameters
    ----------
    task : Task
    start : callable
        From a generator to untrained parameters.
    pairs : sequence of (int64 array, int64 array)
        Rows to train on, and rows to judge by.
    rows : int
        N; all of them are trained on at last.
    epochs, lr
        Epochs at most, over which the learning rate falls to zero.
    seed : int

    Returns
    -------
    parameters : list of tensors
    notes : dict
        `epochs`, and the `log_loss` of rows held out after as many, and `start`, before the first.
    """

    def run(some: Tensor, stop: int, judge: Judge | None = None) -> tuple[list[Tensor], list[float]]:
        generator = torch.Generator().manual_seed(seed)
        parameters = start(generator)
        return parameters, descend(task, parameters, some, epochs, stop, lr, generator, judge)

    curve = np.zeros(epochs + 1)
    for others, held_out in pairs:
        judged = torch.from_numpy(held_out)

        def judge(parameters: Sequence[Tensor], judged: Tensor = judged) -> float:
            return float(task.loss(parameters, judged, None))

        curve += np.array(run(torch.from_numpy(others), epochs, judge)[1]) * len(held_out)
    curve /= sum(len(held_out) for _, held_out in pairs)
    chosen = int(curve.argmin())
    parameters, _ = run(torch.arange(rows), chosen)
    return parameters, {"epochs": chosen, "log_loss": float(curve[chosen]), "start": float(curve[0])}


def descend(
    task: Task,
    parameters: Sequence[Tensor],
    rows: Tensor,
    epochs: int,
    stop: int,
    lr: float,
    generator: torch.Generator,
    judge: Judge | None,
) -> list[float]:
    """Train by AdamW (Loshchilov and Hutter 2019), in place; return what `judge` says, from the start on."""
    curve = [] if judge is None else [judge(parameters)]
    with torch.enable_grad():
        leaves = [each.requires_grad_() for each in parameters]
        optimizer = torch.optim.AdamW(leaves, lr=lr, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        for _ in range(stop):
            order = rows[torch.randperm(len(rows), generator=generator)]
            for batch in order.split(BATCH):
                optimizer.zero_grad()
                task.loss(leaves, batch, generator).backward()
                optimizer.step()
            schedule.step()
            if judge is not None:
                with torch.no_grad():
                    curve.append(judge(leaves))
    for each in parameters:
        each.requires_grad_(False)
    return curve


def layers(sizes: Sequence[int], generator: torch.Generator) -> list[Tensor]:
    """Return weights `[out, in]` and biases `[out]`, layer by layer, as `torch.nn.Linear` starts them.

    The last layer is zero: the network starts as what its output is added to.
    """
    made: list[Tensor] = []
    for before, after in pairwise(sizes):
        made += [uniform(shape, before**-0.5, generator) for shape in ((after, before), (after,))]
    return [*made[:-2], torch.zeros_like(made[-2]), torch.zeros_like(made[-1])]


def uniform(shape: Sequence[int], bound: float, generator: torch.Generator) -> Tensor:
    """Return random numbers between `-bound` and `bound`."""
    return (torch.rand(tuple(shape), generator=generator) * 2 - 1) * bound


def dropped(hidden: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return hidden values with a share of them set to zero, and the others scaled up."""
    kept = torch.rand(hidden.shape, generator=generator) >= share
    return hidden * kept / (1 - share)

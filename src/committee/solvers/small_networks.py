"""Small networks on the outputs of members: their layers as tensors, and their training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.base.compiler import uncompiled

BATCH = 256
EPOCH = 8192
"""Rows of an epoch, at most: of more rows, such as pixels, each epoch draws others."""
JUDGED = 4096
"""Held-out rows whose loss is computed at once, which bounds the memory."""
DECAY = 1e-2

Judge = Callable[[Sequence[Tensor]], float]
Start = Callable[[torch.Generator], list[Tensor]]
Rows = NDArray[np.int64]


class Task(Protocol):
    """The loss that parameters are trained with.

    See Also
    --------
    train_chosen : Train parameters for the best number of epochs.
    """

    def loss(self, parameters: Sequence[Tensor], rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the mean loss of rows, int64 `[B]`; without a generator there is no dropout."""


def train_chosen(
    task: Task,
    start: Start,
    pairs: Sequence[tuple[Rows, Rows]],
    rows: int,
    *,
    epochs: int,
    lr: float,
    seed: int,
    loss: str = "log_loss",
) -> tuple[list[Tensor], dict[str, Any]]:
    """Choose the number of epochs by cross-validation, then train on all rows.

    The number may be 0, which leaves the parameters as they start.

    Parameters
    ----------
    task : Task
    start : callable
        Returns untrained parameters, drawn from a generator.
    pairs : sequence of (int64 array, int64 array)
        Rows to train on, and rows to evaluate.
    rows : int
        Number of rows N; the final training uses all of them.
    epochs : int
        Largest number of epochs. The learning rate decreases to zero over these.
    lr : float
        Initial learning rate.
    seed : int
        Seed of the parameters, batches and dropout.
    loss : str
        Name of the loss.

    Returns
    -------
    parameters : list of tensors
    notes : dict
        `epochs`: the chosen number; the name of the loss and `start`: the held-out loss after as many epochs
        and before training.
    """

    def run(some: Tensor, stop: int, judge: Judge | None = None) -> tuple[list[Tensor], list[float]]:
        generator = torch.Generator().manual_seed(seed)
        parameters = start(generator)
        return parameters, descend(task, parameters, some, epochs, stop, lr, generator, judge)

    curve = np.zeros(epochs + 1)
    for others, held_out in pairs:
        blocks = torch.from_numpy(held_out).split(JUDGED)

        def judge(parameters: Sequence[Tensor], blocks: Sequence[Tensor] = blocks) -> float:
            losses = [float(task.loss(parameters, block, None)) for block in blocks]
            return float(np.average(losses, weights=[len(block) for block in blocks]))

        curve += np.array(run(torch.from_numpy(others), epochs, judge)[1]) * len(held_out)
    curve /= sum(len(held_out) for _, held_out in pairs)
    chosen = int(curve.argmin())
    parameters, _ = run(torch.arange(rows), chosen)
    return parameters, {"epochs": chosen, loss: float(curve[chosen]), "start": float(curve[0])}


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
    """Train parameters in place by AdamW (Loshchilov and Hutter 2019).

    Returns
    -------
    list of float
        The result of `judge` before training and after each epoch; empty without `judge`.
    """
    curve = [] if judge is None else [judge(parameters)]
    with torch.enable_grad():
        leaves = [each.requires_grad_() for each in parameters]
        optimizer = uncompiled(torch.optim.AdamW)(leaves, lr=lr, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        for _ in range(stop):
            order = rows[torch.randperm(len(rows), generator=generator)[:EPOCH]]
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
    """Return weights `[out, in]` and biases `[out]` of each layer, initialized as by `torch.nn.Linear`.

    The last layer is zero, so that the output starts at zero.
    """
    made: list[Tensor] = []
    for before, after in pairwise(sizes):
        made += [uniform(shape, before**-0.5, generator) for shape in ((after, before), (after,))]
    return [*made[:-2], torch.zeros_like(made[-2]), torch.zeros_like(made[-1])]


def uniform(shape: Sequence[int], bound: float, generator: torch.Generator) -> Tensor:
    """Return uniform random numbers between `-bound` and `bound`."""
    return (torch.rand(tuple(shape), generator=generator) * 2 - 1) * bound


def dropped(hidden: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Apply dropout: set a share of the values to zero, and scale up the others."""
    kept = torch.rand(hidden.shape, generator=generator) >= share
    return hidden * kept / (1 - share)

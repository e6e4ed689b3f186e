"""Training of small networks, such as fusion heads and gates, on arrays computed beforehand."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from committee.base.folds import make_folds
from committee.errors import DataError, TrainingError
from committee.solvers.small_networks import Rows, descend, train_chosen
from committee.training.fit.memory import ran_out_of_memory

INNER = 3
"""Folds of the cross-validation that chooses the number of epochs."""

Inputs = Callable[[Tensor], Any]
"""Rows int64 `[B]` -> input of the network."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""Output of the network `[B, K]` and its rows -> mean loss."""


class _Objective:
    """Network and loss in the form that `descend` expects."""

    def __init__(self, network: nn.Module, inputs: Inputs, loss: Loss) -> None:
        self.network, self.inputs, self.loss_of = network, inputs, loss
        self.names = [name for name, _ in network.named_parameters()]

    def loss(self, parameters: Sequence[Tensor], rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the mean loss of rows, with dropout if a generator is given."""
        self.network.train(generator is not None)
        given = dict(zip(self.names, parameters, strict=True))
        return self.loss_of(functional_call(self.network, given, (self.inputs(rows),)), rows)


def train_head(
    network: nn.Module,
    inputs: Inputs,
    loss: Loss,
    rows: int,
    *,
    epochs: int,
    lr: float,
    seed: int,
    who: str,
    lower: str,
    loss_name: str = "log_loss",
    pairs: Sequence[tuple[Rows, Rows]] = (),
) -> dict[str, Any]:
    """Train a network in place by AdamW on batches of 256 rows; the learning rate falls to zero as a cosine.

    Parameters
    ----------
    network : nn.Module
        It is in evaluation mode afterwards.
    inputs, loss : callables
    rows : int
        Number of rows N.
    epochs : int
        Largest number of epochs. If there are `pairs`, the number is chosen by cross-validation on them.
    lr : float
        Learning rate at the start.
    seed : int
        Seed of dropout and of the order of rows.
    who, lower : str
        For messages: the member and fold, and the setting to lower where memory runs out.
    loss_name : str
        Name of the loss in the notes.
    pairs : sequence of (int64 array, int64 array)
        Rows to train on and rows to judge by, for each fold of the cross-validation.

    Returns
    -------
    dict
        `epochs`, and if they were chosen, the mean loss of held-out rows after that number, by its name.

    Raises
    ------
    TrainingError
        Memory runs out, or the weights are not finite.
    """
    objective, initial = (
        _Objective(network, inputs, loss),
        [each.detach().clone() for each in network.parameters()],
    )

    def start(_: torch.Generator) -> list[Tensor]:
        return [each.clone() for each in initial]

    with seeded(seed):
        try:
            if pairs:
                trained, notes = train_chosen(
                    objective, start, pairs, rows, epochs=epochs, lr=lr, seed=seed, loss=loss_name
                )
            else:
                generator, trained, notes = torch.Generator().manual_seed(seed), start(torch.Generator()), {}
                descend(objective, trained, torch.arange(rows), epochs, epochs, lr, generator, None)
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            raise TrainingError(
                who,
                expected="enough memory for the network and a batch of 256 rows",
                got=str(error).partition("\n")[0],
                todo=f"Lower {lower}.",
            ) from error
    if not all(bool(each.isfinite().all()) for each in trained):
        raise TrainingError(who, expected="a finite loss", got="NaN or infinity", todo="Lower its lr.")
    with torch.no_grad():
        for own, value in zip(network.parameters(), trained, strict=True):
            own.copy_(value)
    network.eval()
    return {"epochs": notes.get("epochs", epochs), **({loss_name: notes[loss_name]} if notes else {})}


def inner_pairs(strata: Rows, groups: Rows | None, seed: int) -> list[tuple[Rows, Rows]]:
    """Return the positions of the other folds' rows and of its own rows, for each fold of rows in strata.

    The list is empty if there are too few rows, or only one group.
    """
    try:
        dealt = make_folds(strata, INNER, groups=groups, seed=seed, rare=True)
    except DataError:
        return []
    return [(np.flatnonzero(dealt != fold), np.flatnonzero(dealt == fold)) for fold in range(INNER)]


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generators in the block, and restore their state after it."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def slices(rows: int, size: int) -> Iterator[slice]:
    """Yield consecutive slices of at most `size` rows."""
    for start in range(0, rows, size):
        yield slice(start, min(rows, start + size))


def tensor(array: NDArray[np.float32]) -> Tensor:
    """Return a copy of an array, which may be memory-mapped, as a tensor."""
    return torch.from_numpy(np.array(array))

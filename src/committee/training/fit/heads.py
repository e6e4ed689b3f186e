"""Training of small networks on arrays that were computed before: heads on embeddings, gates."""

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
"""Folds that the number of epochs is chosen on."""

Inputs = Callable[[Tensor], Any]
"""Rows int64 `[B]` -> what the network takes."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""What the network gives `[B, K]`, and its rows -> the mean loss."""


class _Lesson:
    """A network and its loss, as `descend` takes them."""

    def __init__(self, network: nn.Module, inputs: Inputs, loss: Loss) -> None:
        self.network, self.inputs, self.of = network, inputs, loss
        self.names = [name for name, _ in network.named_parameters()]

    def loss(self, parameters: Sequence[Tensor], rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the mean loss of rows, with dropout where there is a generator."""
        self.network.train(generator is not None)
        given = dict(zip(self.names, parameters, strict=True))
        return self.of(functional_call(self.network, given, (self.inputs(rows),)), rows)


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
    pairs: Sequence[tuple[Rows, Rows]] = (),
) -> dict[str, Any]:
    """Train a network in place, by AdamW on batches of 256 rows, its rate falling to zero as a cosine.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode afterwards.
    inputs, loss : callables
    rows : int
        N.
    epochs : int
        At most: the number is chosen by cross-validation on `pairs`, where there are any.
    lr, seed
        Dropout and the order of rows are drawn by `seed`.
    who, lower : str
        For people: whose network it is, and which setting to lower where memory runs out.
    pairs : sequence of (int64 array, int64 array)
        Rows to train on, and rows to judge by.

    Returns
    -------
    dict
        `epochs`, and the `log_loss` of rows held out after as many, where it was chosen.

    Raises
    ------
    TrainingError
        Memory runs out, or the loss is not finite.
    """
    lesson, begun = _Lesson(network, inputs, loss), [each.detach().clone() for each in network.parameters()]

    def start(_: torch.Generator) -> list[Tensor]:
        return [each.clone() for each in begun]

    with seeded(seed):
        try:
            if pairs:
                learned, notes = train_chosen(lesson, start, pairs, rows, epochs=epochs, lr=lr, seed=seed)
            else:
                generator, learned, notes = torch.Generator().manual_seed(seed), start(torch.Generator()), {}
                descend(lesson, learned, torch.arange(rows), epochs, epochs, lr, generator, None)
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            raise TrainingError(
                who,
                expected="memory for the network and a batch of 256 rows",
                got=str(error).partition("\n")[0],
                todo=f"Lower {lower}.",
            ) from error
    if not all(bool(each.isfinite().all()) for each in learned):
        raise TrainingError(who, expected="a finite loss", got="NaN or infinity", todo="Lower its lr.")
    with torch.no_grad():
        for own, value in zip(network.parameters(), learned, strict=True):
            own.copy_(value)
    network.eval()
    return {"epochs": notes.get("epochs", epochs), **({"log_loss": notes["log_loss"]} if notes else {})}


def inner_pairs(labels: Rows, groups: Rows | None, seed: int) -> list[tuple[Rows, Rows]]:
    """Return, for each of some folds of labeled rows, the positions of the others and of its own.

    None where the rows are too few, or of one group.
    """
    few = np.bincount(labels)[labels].min() < INNER
    try:
        dealt = make_folds(np.zeros_like(labels) if few else labels, INNER, groups=groups, seed=seed)
    except DataError:
        return []
    return [(np.flatnonzero(dealt != fold), np.flatnonzero(dealt == fold)) for fold in range(INNER)]


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generators, and leave them as they were."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def slices(rows: int, size: int) -> Iterator[slice]:
    """Go through rows a few at a time."""
    for start in range(0, rows, size):
        yield slice(start, min(rows, start + size))


def tensor(array: NDArray[np.float32]) -> Tensor:
    """Return a copy of an array that may be mapped, as a tensor."""
    return torch.from_numpy(np.array(array))
